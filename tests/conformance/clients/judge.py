"""Judges canaries through the client that openapi-python-client makes of the OpenAPI document."""

import datetime
import sys

from haldane_client import Client
from haldane_client.api.configs import get_config, list_configs
from haldane_client.api.judgements import create_judgement
from haldane_client.models import (
    Action,
    CanaryConfig,
    JudgementBody,
    JudgementBodySamples,
    Problem,
    SamplesBody,
    Scorecard,
    Status,
    Verdict,
    WindowBody,
)
from haldane_client.types import UNSET

BASELINE = [101.0, 99.0, 104.0, 98.0, 100.0, 103.0, 97.0, 102.0, 99.0, 101.0, None, None]


def body(canary):
    config = CanaryConfig.from_dict({"name": "latency-only", "metrics": [{"name": "p95", "unit": "ms", "direction": "increase"}]})
    samples = JudgementBodySamples()
    samples["p95"] = SamplesBody(baseline=BASELINE, canary=canary)
    start = datetime.datetime(2026, 3, 1, 10, tzinfo=datetime.UTC)
    return JudgementBody(config=config, window=WindowBody(start=start, duration="12m", step="60s"), samples=samples)


client = Client(base_url=sys.argv[1])

scorecard = create_judgement.sync(client=client, body=body([point and point * 1.6 for point in BASELINE]))
assert isinstance(scorecard, Scorecard), scorecard
assert scorecard.verdict is Verdict.FAIL, scorecard.verdict
assert scorecard.recommendation.action is Action.ROLLBACK, scorecard.recommendation
assert isinstance(scorecard.score, float), scorecard.score
assert isinstance(scorecard.judged_at, datetime.datetime), scorecard.judged_at
assert scorecard.id is UNSET, "samples that come with the request have no id"
(metric,) = scorecard.metrics
assert metric.status is Status.REGRESSED, metric.status
assert metric.name == "p95"
assert Scorecard.from_dict(scorecard.to_dict()) == scorecard, "a scorecard is the same after it was written and read"

refused = create_judgement.sync(client=client, body=body([]))
assert isinstance(refused, (Problem, Scorecard)), refused

unknown = create_judgement.sync(client=client, body=JudgementBody(config="no-such-config"))
assert isinstance(unknown, Problem), unknown
assert unknown.status == 422 and unknown.pointer == "/config", unknown

names = [config.name for config in list_configs.sync(client=client).configs]
assert "http-golden-signals" in names, names
config = get_config.sync("http-golden-signals", client=client)
assert isinstance(config, CanaryConfig) and config.metrics, config
print("openapi-python-client: judged")
