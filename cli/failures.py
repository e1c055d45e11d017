"""Every failure becomes one sentence and an exit code."""

import errno
import gc
import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from nashgames.cli.options import ACCEPTED, SHORT
from nashgames.errors import NashGamesError, NoRoom, unknown

# The shells' conventions: 2 for a wrong command line.
OK, FAILED, USAGE = 0, 1, 2

# typer brings click along or carries its own copy, depending on its version; the class above BadParameter is the usage
# error in both, and nothing else names it in both.
_UsageError: type[Any] = typer.BadParameter.__mro__[1]

_SEVERAL = {
    "run": "; several games are for: nashgames sweep --game GAME,GAME",
    "verify": "; verify one directory after the other",
    "show": "; show one after the other",
    "init": "; print one preset after the other",
    "check": "; check one solver after the other",
}
"""What to do with several arguments of a command that takes one."""

# New objects after which Python looks for those that only hold each other. A command makes half a million that it keeps
# (modules, programs): after every 700 of them the search takes a tenth of all the time. So many are 10 MB.
_OBJECTS = 100_000

# Columns from which no word of a help is longer than its column: those of the smallest terminal.
_SMALLEST = 80

_BAD_PATH = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EROFS, errno.EEXIST)


class Commands(TyperGroup):
    """The group of commands whose `main` never ends in a traceback."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            if args[0] in ("help", "version"):
                raise NashGamesError(f"'{args[0]}' is an option, not a command; write: nashgames --{args[0]}")
            raise unknown("command", args[0], self.list_commands(ctx))
        resolved: Any = super().resolve_command(ctx, args)
        if {"-h", "--help"} & set(args):
            _as_shown(resolved[1], resolved[1].get_params(ctx))
        options = [each for each in resolved[1].params if each.param_type_name == "option"]
        once = {name for each in options if not each.multiple and not each.is_flag for name in each.opts}
        given = [argument.partition("=")[0] for argument in args if argument.partition("=")[0] in once]
        if twice := next((name for place, name in enumerate(given) if name in given[:place]), None):
            raise NashGamesError(f"{twice} is given twice; give it once")
        return resolved

    def format_help(self, ctx: Any, formatter: Any) -> None:
        for command in self.commands.values():
            _as_shown(command, [])
        _as_shown(self, self.get_params(ctx))
        super().format_help(ctx, formatter)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and end the process with its exit code."""
        from nashgames.cli import signals, streams

        streams.make_tolerant()
        gc.set_threshold(_OBJECTS)
        arguments = list(sys.argv[1:] if args is None else args)
        try:
            with signals.stopping():
                outcome = super().main(
                    arguments, "nashgames", complete_var, False, windows_expand_args, obj=arguments, **extra
                )
            code = outcome if isinstance(outcome, int) else OK
        except Exception as error:
            if os.environ.get("NASHGAMES_DEBUG") == "1" and not isinstance(error, NashGamesError | _UsageError):
                raise
            sentence, code = explain(error, arguments[0] if arguments else None)
            streams.complain(sentence)
        raise SystemExit(code)


def _as_shown(command: Any, parameters: Any) -> None:
    """Write a command and its parameters as its help shows them, in the characters of standard output.

    The help of an argument says what it is; its Python type, list[Path], would say it worse. A flag has no value.
    """
    from nashgames.cli.streams import spelled

    command.help = spelled(command.help or "")
    plain = shutil.get_terminal_size().columns < _SMALLEST or spelled("…") != "…"
    if plain:
        # rich cuts words that are longer than their column; without it they are broken.
        command.rich_markup_mode = None
        command.short_help = command.help
    for parameter in parameters:
        if parameter.param_type_name == "argument" or getattr(parameter, "is_flag", False):
            parameter.display_type_rich = lambda ctx: ""
        text = spelled(parameter.help or "")
        # rich would take a bracket for its own.
        parameter.help = text.replace("\\[", "[") if plain else text
        parameter.metavar = parameter.metavar and spelled(parameter.metavar)


def explain(error: Exception, command: str | None = None) -> tuple[str, int]:
    """The sentence and the exit code for an error of any kind, of this command where it says so."""
    if isinstance(error, NashGamesError):
        return str(error), FAILED if isinstance(error, NoRoom) else USAGE
    if isinstance(error, _UsageError):
        return _usage(error, command), USAGE
    if isinstance(error, OSError):
        place = f"'{error.filename}'" if error.filename else "the output"
        reason = error.strerror or str(error)
        # Path.is_file would raise where a folder above may not be entered.
        if error.errno in (errno.EACCES, errno.EPERM) and os.path.isfile(str(error.filename)):  # noqa: PTH113
            return f"cannot read {place}: {reason}; change its permissions, or name another file", USAGE
        if error.errno in (errno.EACCES, errno.EPERM):
            # Of something to read or to write: who raised it did not say.
            return f"cannot use {place}: {reason}; change the permissions there, or give another path", USAGE
        if error.errno in _BAD_PATH:
            return f"cannot use {place}: {reason}; name a place that can be written with --out", USAGE
        return f"cannot write {place}: {reason}; finished runs are kept; the same command continues", FAILED
    from nashgames import memory

    left = memory.room()
    if isinstance(error, MemoryError) or left.free < memory.SCARCE:
        how = "" if isinstance(error, MemoryError) else f" ({type(error).__name__}: {' '.join(str(error).split())})"
        said = f"there is not enough memory{how}, {left}"
        return f"{said}; use fewer actions (-n) or --dtype float32, or {left.remedy}", FAILED
    if isinstance(error, ValueError) and "null byte" in str(error):
        return "a path contains a zero byte, which no file system accepts; remove it", USAGE
    text = " ".join(str(error).split()) or "no message"
    return (
        f"unexpected {type(error).__name__}: {text}; this is a mistake in nashgames: please report it with the "
        "command and what NASHGAMES_DEBUG=1 shows",
        FAILED,
    )


def _usage(error: Any, command: str | None) -> str:
    """typer's own complaint about a command line, said like every other error: given, accepted, what to do."""
    name = getattr(error, "option_name", None)
    if name is not None and not hasattr(error, "possibilities"):
        # typer leaves the context out of this error, so that what the option accepts is looked up by its name.
        key = SHORT.get(name, name.removeprefix("--").replace("-", "_"))
        key = f"{command} {key}" if f"{command} {key}" in ACCEPTED else key
        return (
            f"{name} needs a value; accepted: {ACCEPTED[key]}"
            if key in ACCEPTED
            else f"{name} takes no value; leave it out"
        )
    if error.ctx is None:
        return str(error.format_message())
    path = error.ctx.command_path
    if name is not None:
        parameters = error.ctx.command.get_params(error.ctx)
        options = [option for parameter in parameters for option in parameter.opts if option.startswith("--")]
        from nashgames.cli.hints import of_option

        return of_option(path, name, options)
    if getattr(error, "param", None) is not None:
        return f"'{path}' needs {error.param.metavar}; see '{path} --help'"
    message = str(error.format_message()).rstrip(".")
    extra = re.search(r"extra arguments?.*\((.*)\)", message)
    if extra:
        several = _SEVERAL.get(error.ctx.info_name, "")
        return f"'{path}' takes no further argument '{extra[1]}'{several}; see '{path} --help'"
    return f"{message[:1].lower()}{message[1:]}; see '{path} --help'"
