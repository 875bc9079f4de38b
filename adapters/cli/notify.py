"""``dragoman notify``: can the notifiers of the configuration be used?"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from dragoman.adapters.cli.options import config_option
from dragoman.adapters.config_file import ConfigFileError, printable
from dragoman.adapters.notifications.sender import MISSING, Notice, check, is_installed, send
from dragoman.adapters.planning import find_config, plan_serving
from dragoman.core.alert_rules import Notifier

_CANARY = Notice("dragoman canary", "provider routing notification check", "info")


@click.command("notify")
@config_option
@click.option("--dry-run", is_flag=True, help="Check the form of each URL; send nothing.")
@click.option("--canary", is_flag=True, help="Send one notice to each.")
@click.argument("urls", nargs=-1, metavar="[URL]...")
def command(config_path: Path | None, dry_run: bool, canary: bool, urls: tuple[str, ...]) -> None:
    """Check who is told of alerts: `notifications` of the configuration, or the Apprise URLs that are given.

    Ends with 0 if all is well, with 1 and a line for each that is not. URLs are not shown: there are secrets in them.
    """
    if dry_run == canary:
        raise click.UsageError("say what to do: --dry-run or --canary")
    if not is_installed():
        click.echo(f"error: {MISSING}", err=True)
        raise SystemExit(1)
    notifiers = [Notifier(f"argument {i}", url) for i, url in enumerate(urls, 1)] or _configured(config_path)
    if not notifiers:
        click.echo("error: nobody is notified: list Apprise URLs under `notifications`", err=True)
        raise SystemExit(1)
    with ThreadPoolExecutor(min(8, len(notifiers))) as pool:
        results = list(pool.map(_sent if canary else _checked, notifiers))
    for notifier, (good, text) in zip(notifiers, results, strict=True):
        click.echo(printable(f"{notifier.name}: {text}"), err=not good)
    if not all(good for good, _ in results):
        raise SystemExit(1)


def _configured(path: Path | None) -> list[Notifier]:
    try:
        return list(plan_serving(find_config(path, os.environ, Path()), os.environ).config.notifications)
    except ConfigFileError as error:
        for line in error.lines:
            click.echo(line, err=True)
        raise SystemExit(1) from None


def _checked(notifier: Notifier) -> tuple[bool, str]:
    service = check(notifier.url)
    return bool(
        service
    ), f"ok ({service})" if service else "Apprise cannot read this URL: unknown scheme, or a part is missing"


def _sent(notifier: Notifier) -> tuple[bool, str]:
    problem = send(notifier.url, _CANARY)
    return not problem, problem or "sent"
