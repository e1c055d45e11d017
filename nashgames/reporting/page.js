"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);

  // An element with attributes and children; text is always text, so that no label becomes markup.
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  function said(value) {
    if (value === null || value === undefined) return "–";
    if (typeof value === "string") return value;
    if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
    const size = Math.abs(value);
    return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  }

  const say = (text) => { byId("said").textContent = text; };
  const numeric = (value) => (value === "∞" ? Infinity : value === "−∞" ? -Infinity : value);

  // Light and dark: as the system says until the reader chooses.
  const theme = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  function shownTheme() {
    return document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light");
  }
  function nameTheme() {
    theme.setAttribute("aria-pressed", String(shownTheme() === "dark"));
  }
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = shownTheme() === "dark" ? "light" : "dark";
    nameTheme();
  });
  system.addEventListener("change", nameTheme);
  nameTheme();

  for (const button of document.querySelectorAll(".copier")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      // A page from a disk may not have the clipboard of the system: then what is selected is copied.
      if (navigator.clipboard) await navigator.clipboard.writeText(code.textContent);
      else document.execCommand("copy");
      button.textContent = "Copied";
      say("Copied");
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }

  for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());

  // A menu of choices, with its name above it; `changed` is told the value.
  function choice(form, name, options, value, changed) {
    const select = make("select", { name }, ...options.map(([key, text]) => make("option", { value: key, selected: String(key) === String(value) }, text)));
    select.addEventListener("change", () => changed(select.value));
    form.append(make("label", {}, name, select));
    return select;
  }

  // Tables that are sorted by their headings and filtered by what is typed under them.
  const atOnce = 100; // Rows that a reader looks at before filtering; more would take long to lay out.

  function matcher(text, isText) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return null;
    const compared = /^(<=|>=|<|>|=)\s*(.+)$/.exec(wanted);
    if (compared && !isText && Number.isFinite(Number(compared[2]))) {
      const limit = Number(compared[2]);
      const test = { "<": (v) => v < limit, "<=": (v) => v <= limit, ">": (v) => v > limit, ">=": (v) => v >= limit, "=": (v) => v === limit }[compared[1]];
      return (value) => value !== null && test(numeric(value));
    }
    if (!isText && Number.isFinite(Number(wanted.replaceAll(",", "")))) {
      const number = Number(wanted.replaceAll(",", ""));
      return (value) => value === number || said(value).toLowerCase() === wanted;
    }
    return (value) => said(value).toLowerCase().includes(wanted);
  }

  function table(place, { columns, rows, total }, name) {
    let sorted = -1, falling = false, all = false;
    const filters = columns.map(() => "");
    const body = make("tbody");
    const count = make("span", { role: "status", "aria-live": "polite" });
    const more = make("button", { type: "button" });
    const heads = columns.map((column, i) => {
      const button = make("button", { type: "button" }, column.heading);
      button.addEventListener("click", () => {
        falling = sorted === i ? !falling : false;
        sorted = i;
        heads.forEach((head, k) => (k === i ? head.setAttribute("aria-sort", falling ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
        draw();
      });
      return make("th", { scope: "col", class: column.text ? null : "n" }, button);
    });
    const fields = columns.map((column, i) => {
      const help = column.text ? `Filter ${column.heading}` : `Filter ${column.heading}, for example <0.1`;
      const input = make("input", { type: "search", "aria-label": help, placeholder: column.text ? "contains" : "<, =, >", "data-column": column.name, size: column.text ? 12 : 5 });
      input.addEventListener("input", () => { filters[i] = input.value; draw(); });
      return make("th", {}, input);
    });
    function draw() {
      const tests = filters.map((text, i) => matcher(text, columns[i].text));
      let found = rows.filter((row) => tests.every((test, i) => !test || test(row[i])));
      if (sorted >= 0) {
        const key = (row) => numeric(row[sorted]);
        found = found.slice().sort((a, b) => {
          const [x, y] = [key(a), key(b)];
          if (x === null || y === null) return (x === null) - (y === null);
          const order = typeof x === "number" && typeof y === "number" ? x - y || 0 : String(x).localeCompare(String(y), "en", { numeric: true });
          return falling ? -order : order;
        });
      }
      const shown = all ? found : found.slice(0, atOnce);
      body.replaceChildren(...shown.map((row) => make("tr", {}, ...row.map((value, i) => {
        const cell = make("td", { class: columns[i].text ? null : "n", title: typeof value === "string" && value.length > 30 ? value : null });
        if (columns[i].name === "run_id") cell.append(make("code", {}, said(value)));
        else if (columns[i].name === "status" && ["diverged", "failed", "inexact"].includes(value)) cell.append(make("span", { class: "mark" }, value));
        else cell.append(said(value));
        return cell;
      }))));
      const beyond = total > rows.length ? ` (the first ${said(rows.length)} of ${said(total)} are in this page)` : "";
      count.textContent = `${said(shown.length)} of ${said(found.length)} rows shown${found.length < rows.length ? `, filtered from ${said(rows.length)}` : ""}${beyond}`;
      more.hidden = shown.length === found.length;
      more.textContent = `Show all ${said(found.length)}`;
    }
    more.addEventListener("click", () => { all = true; draw(); });
    const grid = make("table", { class: "data" }, make("caption", { class: "visually-hidden" }, `${name}; headings sort, the fields below them filter`), make("thead", {}, make("tr", {}, ...heads), make("tr", { class: "filters" }, ...fields)), body);
    place.append(make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, grid), make("div", { class: "foot" }, count, more));
    draw();
  }

  function showTables() {
    for (const place of document.querySelectorAll("[data-table]")) {
      const rows = data[place.dataset.table];
      if (!rows.rows.length) continue;
      place.parentElement.hidden = false;
      table(place, rows, place.parentElement.querySelector("h2").textContent);
    }
  }

  // Curves.
  const markers = { o: ["circle", 0], s: ["square", 0], "^": ["triangle", 0], v: ["inverted_triangle", 0], D: ["square", 45], d: ["diamond", 0], P: ["plus", 0], X: ["x", 0], p: ["hex", 0], h: ["hex", 30], "*": ["star", 0], "<": ["triangle", 90], ">": ["triangle", -90] };
  const ink = "#333b45"; // On the pale paper of panels, in light and dark alike: colours of solvers are those of the figures.

  function swatch(method) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("width", "34");
    svg.setAttribute("height", "14");
    svg.setAttribute("aria-hidden", "true");
    svg.setAttribute("class", "swatch");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    for (const [name, value] of Object.entries({ x1: 2, y1: 7, x2: 32, y2: 7, stroke: method.colour, "stroke-width": 2.4, "stroke-dasharray": method.dashes.join(" ") })) line.setAttribute(name, value);
    svg.append(line);
    return svg;
  }

  function decoded(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Float32Array(bytes.buffer);
  }

  function plot(options) {
    const p = Bokeh.Plotting.figure({ height: 270, sizing_mode: "stretch_width", tools: "pan,box_zoom,reset,save", toolbar_location: "right", background_fill_color: null, border_fill_color: null, outline_line_color: null, min_border_left: 62, ...options });
    p.toolbar.logo = null;
    p.toolbar.autohide = true;
    for (const axis of [p.xaxis, p.yaxis].flat()) {
      Object.assign(axis, { axis_label_text_color: ink, major_label_text_color: ink, axis_label_text_font_style: "normal", axis_line_color: "#8a949f", major_tick_line_color: "#8a949f", minor_tick_line_color: null, axis_label_text_font_size: "12px", major_label_text_font_size: "11px" });
    }
    for (const grid of [p.xgrid, p.ygrid].flat()) grid.grid_line_color = "#dfe3e9";
    return p;
  }

  // A line that is not seen and as wide as a mouse is steady: what is hovered.
  function touched(p, source) {
    return p.line({ x: { field: "x" }, y: { field: "y" }, source, line_width: 14, line_alpha: 0 });
  }

  function limits(values, log) {
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      if (!Number.isFinite(value) || (log && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (low > high) return log ? [1e-3, 1] : [0, 1];
    if (log) return [low / 1.6, high * 1.6];
    const room = (high - low || Math.abs(high) || 1) * 0.05;
    return [low - room, high + room];
  }

  function showCurves() {
    const { keys, metrics, axes, methods, groups, levels, most } = data.curves;
    const numbers = decoded(data.curves.numbers);
    let at = 0;
    for (const group of groups) {
      group.at = at;
      at += group.points * (axes.length + metrics.length * (group.bands ? 3 : 1));
    }
    // Row r of a group, in its block of numbers.
    const row = (group, r) => numbers.subarray(group.at + r * group.points, group.at + (r + 1) * group.points);
    const on = methods.map(() => true);
    const position = (name) => keys.findIndex((key) => key.name === name);
    const first = ["beta", "n", "game"].find((name) => position(name) >= 0) ?? keys[0]?.name ?? "";
    const metric = Math.max(metrics.findIndex((each) => each.name === data.metric), 0);
    const state = { x: Math.max(axes.findIndex((each) => each.name === data.axis), 0), y: metric, xScale: "log", yScale: metrics[metric].log ? "log" : "linear", across: position("directory") >= 0 ? "directory" : first, down: "", fixed: keys.map(() => 0), bands: true };
    if (state.across === "directory" && first !== "directory") state.down = first;
    const form = byId("curve-controls"), panels = byId("panels");
    const views = [];
    let wish = 0;

    function controls() {
      form.replaceChildren();
      const scales = [["log", "logarithmic"], ["linear", "linear"]];
      const set = (name, value) => { state[name] = value; redraw(name); };
      choice(form, "x", axes.map((axis, i) => [i, axis.called]), state.x, (v) => set("x", Number(v)));
      choice(form, "x scale", scales, state.xScale, (v) => set("xScale", v));
      choice(form, "y", metrics.map((each, i) => [i, each.label]), state.y, (v) => { state.yScale = metrics[Number(v)].log ? "log" : "linear"; set("y", Number(v)); });
      choice(form, "y scale", scales, state.yScale, (v) => set("yScale", v));
      if (keys.length) {
        const options = [["", "nothing"], ...keys.map((key) => [key.name, key.called])];
        choice(form, "panels across", options, state.across, (v) => { if (state.down === v) state.down = ""; set("across", v); });
        choice(form, "panels down", options, state.down, (v) => { if (state.across === v) state.across = ""; set("down", v); });
      }
      keys.forEach((key, i) => {
        if (key.name === state.across || key.name === state.down) return;
        choice(form, key.called, key.values.map((value, k) => [k, value]), state.fixed[i], (v) => { state.fixed[i] = Number(v); redraw(); });
      });
      const check = make("input", { type: "checkbox", checked: state.bands });
      check.addEventListener("change", () => { state.bands = check.checked; redraw(); });
      form.append(make("label", { class: "check" }, check, "bands"));
    }

    function panel(mine, title, ranges) {
      const x = axes[state.x].called, y = metrics[state.y].label;
      const p = plot({ height: ranges.alone ? 420 : 270, x_axis_type: state.xScale, y_axis_type: state.yScale, x_range: ranges.x, y_range: ranges.y, x_axis_label: x, y_axis_label: y });
      const [logX, logY] = [state.xScale === "log", state.yScale === "log"];
      const lines = [];
      for (const group of mine) {
        const method = methods[group.method];
        const metricAt = axes.length + state.y * (group.bands ? 3 : 1);
        const xs = row(group, state.x), ys = row(group, metricAt);
        const lows = group.bands ? row(group, metricAt + 1) : ys, highs = group.bands ? row(group, metricAt + 2) : ys;
        const good = [...xs.keys()].filter((i) => Number.isFinite(xs[i]) && Number.isFinite(ys[i]) && (!logX || xs[i] > 0) && (!logY || ys[i] > 0));
        if (!good.length) continue;
        const pick = (values) => good.map((i) => values[i]);
        const [top, floor] = [ranges.y[1], ranges.y[0]];
        const clipped = (value) => (Number.isNaN(value) ? NaN : Math.min(Math.max(value, floor), top));
        const seeds = group.diverged ? `${group.runs}, ${group.diverged} diverged` : String(group.runs);
        const source = new Bokeh.ColumnDataSource({ data: { x: pick(xs), y: pick(ys), low: pick(lows), high: pick(highs), lower: pick(lows).map(clipped), upper: pick(highs).map(clipped), solver: good.map(() => method.label), seeds: good.map(() => seeds) } });
        if (group.bands && state.bands) p.varea({ x: { field: "x" }, y1: { field: "lower" }, y2: { field: "upper" }, source, fill_color: method.colour, fill_alpha: 0.14 });
        p.line({ x: { field: "x" }, y: { field: "y" }, source, line_color: method.colour, line_width: 2, line_dash: method.dashes });
        lines.push(touched(p, source));
        const [marker, angle] = markers[method.marker] ?? ["circle", 0];
        const apart = Math.max(1, Math.floor(good.length / 6)), start = (group.method * 2) % apart;
        const marks = good.filter((_, k) => k % apart === start || good.length === 1);
        p.scatter({ x: marks.map((i) => xs[i]), y: marks.map((i) => ys[i]), marker, angle: (angle * Math.PI) / 180, size: marker === "plus" || marker === "x" ? 8 : 6.5, line_color: method.colour, line_width: marker === "plus" || marker === "x" ? 2.4 : 1, fill_color: method.colour });
      }
      const several = mine.some((group) => group.bands);
      const band = [[`${100 * levels[0]}–${100 * levels[1]} %`, "@low – @high"], ["seeds", "@seeds"]];
      p.add_tools(new Bokeh.HoverTool({ renderers: lines, line_policy: "nearest", tooltips: [["solver", "@solver"], [x, "@x"], [y, "@y"], ...(several ? band : [])] }));
      const names = [...new Set(mine.map((group) => methods[group.method].label))];
      const place = make("div", { role: "img", "aria-label": `${title ? `${title}: ` : ""}${y} against ${x}, a line each for ${names.join(", ")}. The numbers are in the table of the summary.` });
      return [make("div", { class: "panel" }, ...(title ? [make("h3", {}, title)] : []), lines.length ? place : make("p", { class: "empty" }, "nothing was measured here")), lines.length ? () => Bokeh.Plotting.show(p, place) : null];
    }

    const called = (key, value) => `${key.called === key.name && key.name !== "n" ? "" : `${key.called} = `}${value}`;
    const mostPanels = 24; // A screen or two; the others are chosen.

    async function redraw(changed) {
      if (changed) controls();
      const [a, d] = [position(state.across), position(state.down)];
      const columns = a < 0 ? [null] : keys[a].values.map((_, i) => i), lines = d < 0 ? [null] : keys[d].values.map((_, i) => i);
      const inside = (group, i, value) => i < 0 || group.cell[i] === value;
      const wanted = groups.filter((group) => on[group.method] && keys.every((_, i) => i === a || i === d || group.cell[i] === state.fixed[i]));
      const valuesOf = (r) => wanted.flatMap((group) => [...row(group, r(group))]);
      const ranges = {
        x: limits(valuesOf(() => state.x), state.xScale === "log"),
        y: limits(valuesOf((group) => axes.length + state.y * (group.bands ? 3 : 1)), state.yScale === "log"),
      };
      ranges.alone = columns.length * lines.length === 1;
      const cells = lines.flatMap((down) => columns.map((across) => ({ down, across, mine: wanted.filter((group) => inside(group, a, across) && inside(group, d, down)) })));
      const shown = cells.slice(0, mostPanels);
      const drawn = shown.map(({ down, across, mine }) => panel(mine, [across === null ? "" : called(keys[a], keys[a].values[across]), down === null ? "" : called(keys[d], keys[d].values[down])].filter(Boolean).join(", "), ranges));
      for (const view of views.splice(0)) view.remove();
      panels.style.setProperty("--columns", d < 0 ? Math.min(columns.length, 3) : Math.min(columns.length, 4));
      panels.replaceChildren(...drawn.map(([element]) => element));
      const left = cells.length - shown.length;
      byId("curve-hint").textContent = `${metrics[state.y].label}: ${metrics[state.y].help}. Lines are medians over the seeds, with ${100 * levels[0]}–${100 * levels[1]} % quantile bands; curves are thinned to at most ${most} points, and curves.parquet has them all. ${state.yScale === "log" ? "Zeros have no place on a logarithmic axis. " : ""}${left > 0 ? `${left} more panels are not shown: choose fewer. ` : ""}Hover a line for its numbers; drag to move or zoom.`;
      // One after the other, so that the first is seen while the others are made; a newer wish ends an older one.
      const mine = ++wish;
      for (const [, show] of drawn) {
        if (!show) continue;
        views.push(await show());
        document.documentElement.dataset.first ??= String(Math.round(performance.now()));
        await new Promise((go) => setTimeout(go));
        if (mine !== wish) return;
      }
      document.documentElement.dataset.drawn = String(Number(document.documentElement.dataset.drawn ?? 0) + 1);
    }

    const boxes = methods.map((method, i) => {
      const box = make("input", { type: "checkbox", checked: true });
      box.addEventListener("change", () => { on[i] = box.checked; redraw(); });
      byId("methods").append(make("label", {}, box, swatch(method), method.label));
      return box;
    });
    const every = (value) => { boxes.forEach((box, i) => { box.checked = on[i] = value; }); redraw(); };
    byId("all-on").addEventListener("click", () => every(true));
    byId("all-off").addEventListener("click", () => every(false));
    byId("curves").hidden = false;
    controls();
    return redraw();
  }

  // β over n, a table of coloured cells for every solver.
  function showHeat() {
    const { columns, rows } = data.summary;
    const place = (name) => columns.findIndex((column) => column.name === name);
    const [beta, n, label] = ["beta", "n", "label"].map(place);
    if (beta < 0 || n < 0) return;
    const distinct = (i) => [...new Set(rows.map((row) => row[i]))];
    const betas = distinct(beta).sort((a, b) => b - a), sizes = distinct(n).sort((a, b) => a - b);
    if (betas.length * sizes.length < 3) return;
    const others = ["directory", "game", "contexts", "reference", "feedback", "policy", "start", "target", "optimiser", "dtype", "device"].filter((name) => place(name) >= 0);
    const values = [["cost", "median cost to the tolerance"], ["median", "median final suboptimality"]].filter(([name]) => place(name) >= 0);
    const state = { value: values[0][0], fixed: Object.fromEntries(others.map((name) => [name, distinct(place(name))[0]])) };
    const form = byId("heat-controls");
    choice(form, "value", values, state.value, (v) => { state.value = v; draw(); });
    for (const name of others) choice(form, columns[place(name)].heading, distinct(place(name)).map((v) => [v, said(v)]), state.fixed[name], (v) => { state.fixed[name] = v; draw(); });
    function draw() {
      const i = place(state.value);
      const mine = rows.filter((row) => others.every((name) => String(row[place(name)]) === String(state.fixed[name])));
      const finite = mine.map((row) => numeric(row[i])).filter((v) => Number.isFinite(v) && v > 0).map(Math.log);
      const [low, high] = [Math.min(...finite), Math.max(...finite)];
      const tables = distinct(label).map((solver) => {
        const own = mine.filter((row) => row[label] === solver);
        if (!own.length) return null;
        const body = betas.map((b) => make("tr", {}, make("th", { scope: "row" }, `β = ${said(b)}`), ...sizes.map((size) => {
          const found = own.filter((row) => row[beta] === b && row[n] === size);
          const value = found.length ? found[0][i] : undefined;
          const number = numeric(value);
          if (value === undefined || value === null) return make("td", {}, "");
          if (!Number.isFinite(number)) return make("td", { class: "none" }, state.value === "cost" ? "not reached" : "diverged");
          const share = number > 0 && high > low ? (Math.log(number) - low) / (high - low) : 0;
          return make("td", { style: `background:hsl(212 60% ${94 - 62 * share}%);color:${share > 0.5 ? "#fff" : "#111820"}` }, said(number));
        })));
        return make("figure", {}, make("figcaption", {}, solver), make("table", { class: "heat" }, make("caption", { class: "visually-hidden" }, `${solver}: ${values.find(([name]) => name === state.value)[1]}`), make("thead", {}, make("tr", {}, make("td", {}), ...sizes.map((size) => make("th", { scope: "col" }, `n = ${said(size)}`)))), make("tbody", {}, ...body)));
      });
      byId("heat-maps").replaceChildren(...tables.filter(Boolean));
      byId("heat-hint").textContent = "Darker is larger, on a logarithmic scale over all solvers; medians over the seeds. Queries on exact feedback, comparisons on duels.";
    }
    byId("heat").hidden = false;
    draw();
  }

  function showProfiles() {
    const place = byId("profile-panels");
    for (const profile of data.profiles) {
      const title = [profile.directory, profile.name].filter(Boolean).join(", ");
      if (profile.why) {
        place.append(make("p", { class: "hint" }, `${title}: ${profile.why}`));
        continue;
      }
      const p = plot({ height: 320, x_axis_type: "log", x_range: [0.97, profile.factors.at(-1) * 1.03], y_range: [-0.02, 1.02], x_axis_label: `${profile.axis} over those of the cheapest method`, y_axis_label: "share of games solved" });
      const lines = profile.methods.map((name) => {
        const source = new Bokeh.ColumnDataSource({ data: { x: profile.factors, y: profile.shares[name], solver: profile.factors.map(() => name) } });
        p.line({ x: { field: "x" }, y: { field: "y" }, source, line_width: 2, line_color: profile.looks[name].colour, line_dash: profile.looks[name].dashes });
        return touched(p, source);
      });
      p.add_tools(new Bokeh.HoverTool({ renderers: lines, line_policy: "nearest", tooltips: [["solver", "@solver"], ["within factor", "@x"], ["share solved", "@y"]] }));
      const target = make("div", { role: "img", "aria-label": `Performance profiles, ${title}; the table below has the numbers.` });
      const percent = (value) => (value === null ? "–" : `${Math.round(100 * value)} %`);
      const rows = profile.standings.map((each) => {
        const head = make("th", { scope: "row" });
        head.append(swatch(profile.looks[each.method]), ` ${each.method}`);
        return make("tr", {}, head, make("td", { class: "n" }, percent(each.solved)), make("td", { class: "n" }, percent(each.fastest)), make("td", { class: "n" }, percent(each.efficiency)), make("td", { class: "n" }, said(each.factor)));
      });
      const heads = ["solver", "solved", "fastest", "efficiency", "half of the games within factor"].map((name, i) => make("th", { scope: "col", class: i ? "n" : null }, name));
      place.append(make("h3", {}, `${title}: solved is ${profile.goal}`), make("div", { class: "panel" }, target), make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Standings, ${title}` }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows))), ...profile.remarks.map((remark) => make("p", { class: "hint" }, remark)));
      byId("profiles").hidden = false;
      Bokeh.Plotting.show(p, target);
    }
    if (data.profiles.length) byId("profiles").hidden = false;
  }

  function showSections() {
    for (const section of document.querySelectorAll("main section[id]:not([hidden])")) {
      byId("sections").append(make("li", {}, make("a", { href: `#${section.id}` }, section.querySelector("h2").textContent)));
    }
  }

  const begun = data.curves ? showCurves() : Promise.resolve();
  begun.then(() => {
    showHeat();
    showTables();
    showProfiles();
    showSections();
    document.documentElement.dataset.ready = "true";
  });
})();
