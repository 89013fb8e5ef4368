"""`odyssey`: the group of commands, and how errors end."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

try:
    import click
except ModuleNotFoundError:
    sys.exit("odyssey: expected the package click, found it missing; install it: pip install 'odyssey[cli]'")

from odyssey.errors import OdysseyError

__all__ = ["cli", "main"]

INTERRUPTED = 130  # 128 + SIGINT, as shells count
USER_ERROR = 2

# Command -> the module that defines it. Only the one that is called is imported: `odyssey info` loads no matplotlib.
COMMANDS = {
    "bench": "odyssey.cli.bench",
    "data": "odyssey.cli.data",
    "embed": "odyssey.cli.embed",
    "generate": "odyssey.cli.generate",
    "info": "odyssey.cli.info",
    "predict": "odyssey.cli.predict",
    "train": "odyssey.cli.train",
    "verify": "odyssey.cli.verify",
}


class LazyGroup(click.Group):
    """A group that imports a command when it is used, and turns what users can get wrong into one line and exit 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> NoReturn:
        """Run a command and end the process with its exit code."""
        options["standalone_mode"] = False
        try:
            code = super().main(args, *rest, **options)
            sys.stdout.flush()
        except click.exceptions.Exit as exit_:
            code = exit_.exit_code
        except click.UsageError as error:
            hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
            code = _complain(error.format_message() + hint)
        except click.ClickException as error:
            code = _complain(error.format_message())
        except (click.Abort, KeyboardInterrupt):
            code = _complain("interrupted", INTERRUPTED)
        except BrokenPipeError:  # `odyssey info | head -1`: nobody reads on, and there is nobody to tell
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        except OSError as error:
            code = _complain(_explain(error))
        except (OdysseyError, ImportError, FloatingPointError) as error:
            code = _complain(str(error))
        except MemoryError as error:
            code = _complain(f"expected enough memory, found too little ({error}); use less at once")
        sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str, code: int = USER_ERROR) -> int:
    """Say what is wrong in one line."""
    lines = [line.strip() for line in message.splitlines()]
    print("odyssey: " + "; ".join(line for line in lines if line), file=sys.stderr)
    return code


def _explain(error: OSError) -> str:
    """What was expected and found, for the errors of the system."""
    if error.errno is None:
        return str(error)  # raised by us, with all that is to be said
    path = error.filename or "the output"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"{path}: expected room to write it, found none ({os.strerror(error.errno)}); nothing was half-written: "
            "free some space and start again, or continue a run with --resume"
        )
    if error.errno == errno.ENOENT:
        return f"{path}: expected a file, found nothing there; check the path"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path}: expected to be allowed to use it, found {os.strerror(error.errno)}; check its permissions"
    return f"{path}: {error.strerror}"


def _print_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        import odyssey

        click.echo(f"odyssey {odyssey.__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def cli() -> None:
    """SIMD kernels over your own NumPy arrays, and the neural networks on top of them."""


def main() -> NoReturn:
    """The entry point of the `odyssey` command."""
    cli.main(prog_name="odyssey")


if __name__ == "__main__":
    main()
