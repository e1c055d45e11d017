"""How JAX is started for a command: quietly, on the asked device, with compiled programs kept between commands."""

import logging
import os
import tempfile
from pathlib import Path

from nashgames.memory import check_start


def start(device: str, *, keep: bool = True) -> None:
    """Prepare JAX before its first array. Without a GPU asked for, only the CPU backend is started.

    Without `keep` compiled programs are neither looked for nor kept. Raises NashGamesError where the shell allows too
    little memory to begin.
    """
    check_start()
    # A GPU that is there but cannot be used is reported by the runner, in a sentence; JAX's own warning says it again.
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.ERROR)
    if device == "cpu" and not os.environ.get("JAX_PLATFORMS"):
        _set("jax_platforms", "cpu")
    if keep:
        from nashgames.engine.exported import keep_in

        folder = enable_cache()
        keep_in(None if folder is None else folder / "exported")
    else:
        _set("jax_enable_compilation_cache", False)


def enable_cache() -> Path | None:
    """Keep compiled programs in the user's cache folder and return it; None when switched off or not writable.

    NASHGAMES_CACHE names another folder, or is `off`.
    """
    import platformdirs

    from nashgames.defaults import CACHE_OFF

    chosen = os.environ.get("NASHGAMES_CACHE", "").strip()
    if chosen.lower() in CACHE_OFF:
        _set("jax_enable_compilation_cache", False)
        return None
    folder = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("nashgames")) / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return None
    _set("jax_compilation_cache_dir", str(folder))
    _set("jax_persistent_cache_min_compile_time_secs", 0.0)
    _set("jax_persistent_cache_min_entry_size_bytes", 0)
    return folder


def _set(option: str, value: object) -> None:
    import jax

    jax.config.update(option, value)  # type: ignore[no-untyped-call]
