import pytest

from tests.integration.system.watched import Watched
from tests.otlp_sink import Answer, Sink


@pytest.mark.parametrize("answer", [Answer.ABSENT, Answer.UNAVAILABLE, Answer.REDIRECT, Answer.PARTIAL, Answer.HANG])
def test_a_backend_that_refuses_costs_no_alert_and_no_flood(watched: Watched, otlp: Sink, answer: Answer) -> None:
    otlp.answer(answer)
    watched.pause()
    watched.wait_told("AlertCritical")
    watched.wait_condition("Exporting", "False", saying=otlp.otlp_http)
    watched.resume()
    watched.wait_told("AlertCritical", "AlertResolved")
    # None where the same was said less than a minute before; the condition says it all the same.
    assert len(watched.complaints) <= 1, watched.log
    otlp.answer(Answer.ACCEPT)
    watched.wait_condition("Exporting", "True")
    spans = len(otlp.spans)
    watched.pause()
    otlp.wait(lambda sink: len(sink.spans) > spans, deadline=60)
