"""Looking after a gateway: changes are logged and told, and another configuration is taken over."""

import io

import attrs

from dragoman.adapters.line_writer import LineWriter
from dragoman.adapters.logs import Logs
from dragoman.adapters.watching import Watch, notice_of
from dragoman.core.alert_rules import AlertRule, Notifier
from dragoman.core.config import Model
from dragoman.core.operations.alerts import AlertChange, AlertState, Reading
from tests.adapters.notifications.webhook import webhook
from tests.core.conversation import Conversation, config, post, provider, reply

QUICK = AlertRule("errors", "error-ratio", "provider", threshold=0.5, hold=0.0, settle=0.0, minimum_sample=1)


def test_from_requests_to_a_notice_and_back() -> None:
    with webhook() as hook:
        conversation = Conversation(
            config(alerts=(QUICK,), notifications=(Notifier("ops", hook.url),), disable_cooling=True)
        )
        log = io.BytesIO()
        writer = LineWriter(log.write)
        watch = Watch(conversation.gateway, Logs(writer, lambda: 0.0))
        watch.look(1000.0)
        conversation.client(post({"model": "acme-large", "messages": []}))
        conversation.open()
        conversation.upstream(reply(b'{"error":{}}', status=500))
        watch.step(1001.0)
        told = hook.told.get(timeout=10)
        assert (told["type"], "errors firing (warning)" in told["title"]) == ("warning", True)
        assert told["message"] == "provider acme: error-ratio 100.0 % of 1 attempts in 10 minutes (threshold 50 %)"
        watch.look(9000.0)
        assert hook.told.get(timeout=10)["type"] == "success"
        watch.close()
        writer.close()
    lines = log.getvalue().decode().splitlines()
    assert [line.split("state=")[1].split(" ")[0] for line in lines] == ["firing", "resolved"]


def test_another_configuration_is_taken_over() -> None:
    """An alert whose rule is gone is over; models that rules name are counted also where nobody serves them."""
    watched = AlertRule("spark", "error-ratio", "model", "spark", threshold=0.5, hold=0.0, minimum_sample=1)
    conversation = Conversation(config(alerts=(watched,)))
    watch = Watch(conversation.gateway, Logs(LineWriter(io.BytesIO().write), lambda: 0.0))
    watch.look(1000.0)
    conversation.client(post({"model": "spark", "messages": []}))
    watch.look(1001.0)
    assert [(view.subject, view.state) for view in watch.alerts.views()] == [("spark", AlertState.FIRING)]
    conversation.gateway.reload(attrs.evolve(conversation.gateway.config, alerts=()), 1002.0)
    watch.look(1002.0)
    assert watch.alerts.views() == []


def test_what_a_notice_says() -> None:
    rule = AlertRule(
        "spark", "error-ratio", "model", "a", threshold=0.05, severity="critical", action="mitigate", fallback="b"
    )
    change = AlertChange(0.0, rule, "a", AlertState.PENDING, AlertState.FIRING, Reading(0.5, 100))
    notice = notice_of(change)
    assert (notice.kind, notice.title.partition(": ")[2]) == ("failure", "spark firing (critical)")
    assert notice.body.endswith("(threshold 5 %); b is asked for in its place while it fails")
    over = notice_of(attrs.evolve(change, before=AlertState.FIRING, after=AlertState.RESOLVED))
    assert (over.kind, over.title.partition(": ")[2]) == ("success", "spark resolved (critical)")


def test_spark_is_mitigated_without_any_configuration() -> None:
    """The runbook's rule as it is: over 5 % of failures the fallback is asked for, and the alert says so after its minute."""
    models = (Model("spark", "gpt-5.3-codex-spark"), Model("codex", "gpt-5.3-codex"))
    conversation = Conversation(config(provider(models=models), disable_cooling=True))
    watch = Watch(conversation.gateway, Logs(LineWriter(io.BytesIO().write), lambda: 0.0))
    asked = []
    for _ in range(22):
        conversation.client(post({"model": "gpt-5.3-codex-spark", "messages": []})).open()
        asked.append(conversation.request_at()[2]["model"])
        conversation.upstream(reply(b'{"error":{}}', status=500 if asked[-1] == "spark" else 200))
    assert asked == ["spark"] * 20 + ["codex"] * 2
    for second in range(0, 63, 3):
        watch.look(1000.0 + second)
    firing = {view.rule.name for view in watch.alerts.views() if view.state is AlertState.FIRING}
    assert firing >= {"spark-errors", "spark-errors-critical"}


def test_a_plan_without_spark_gets_the_fallback_after_the_first_refusal() -> None:
    """What plus and team users saw: 404 model_not_found. One request finds out, the others are answered; nobody else is asked for spark."""
    models = (Model("spark", "gpt-5.3-codex-spark"), Model("codex", "gpt-5.3-codex"))
    conversation = Conversation(config(provider(models=models)))
    missing = b'{"error":{"message":"The model does not exist","code":"model_not_found"}}'
    asked = []
    for status in (404, 200, 200):
        conversation.client(post({"model": "gpt-5.3-codex-spark", "messages": []})).open()
        asked.append(conversation.request_at()[2]["model"])
        conversation.upstream(reply(missing if status == 404 else b"{}", status=status))
    assert asked == ["spark", "codex", "codex"]
    unlisted = Conversation(config(provider(models=models[1:])))
    unlisted.client(post({"model": "gpt-5.3-codex-spark", "messages": []})).open()
    assert unlisted.request_at()[2]["model"] == "codex"
