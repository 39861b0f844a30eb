"""The report: a line is as good as its worst test, and a broken MUST is told."""

import msgspec
import pytest

from tests.conformance.contract import Contract, Evidence, Line, Untested
from tests.conformance.outcomes import Finding, Outcome, Run, worst
from tests.conformance.report import BEGIN, END, broken, document, outcomes, printed, replaced

CONTRACT = Contract(
    lines={
        "SEL-1": Line("MUST", "★", "one"),
        "SEL-2": Line("MUST", "★", "two"),
        "SEL-3": Line("SHOULD", "★", "three"),
        "NOD-1": Line("MUST", "★", "four"),
    },
    without_test={"NOD-1": Untested("not yet", "comes later")},
)
PASS, FAIL = Finding(Outcome.PASS), Finding(Outcome.FAIL, "call: boom")


def run(engine: str, **findings: Finding) -> Run:
    """A run with one test of each line, `SEL_1=…`."""
    by_line = {name.replace("_", "-"): {f"test_{name}_x": finding} for name, finding in findings.items()}
    return Run(engine=engine, date="2026-11-28", seconds=7, versions={"Linux": "7.2"}, findings=by_line)


def test_a_line_is_as_good_as_its_worst_test() -> None:
    refused = Finding(Outcome.REFUSED, "because")
    assert worst([PASS, refused]) is Outcome.REFUSED
    assert worst([FAIL, PASS]) is Outcome.FAIL
    assert worst([]) is Outcome.NOT_RUN


def test_engines_stand_beside_one_another() -> None:
    runs = [run("envoy", SEL_1=PASS, SEL_2=Finding(Outcome.REFUSED, "cannot")), run("ipvs", SEL_1=PASS, SEL_2=PASS)]
    found = outcomes(CONTRACT, runs)
    assert found["SEL-2"] == (Outcome.REFUSED, Outcome.PASS)
    assert found["NOD-1"] == (Outcome.NOT_YET, Outcome.NOT_YET)
    text = "\n".join(document(CONTRACT, runs))
    assert "| SEL-2 | MUST | refused | pass | two |" in text
    assert "- **SEL-2** refused on Envoy: cannot" in text
    assert "- **NOD-1** not yet: comes later" in text
    assert "Envoy**, 2026-11-28: 1 pass, 1 refused, 1 not yet, 1 not run; Linux 7.2" in text


def test_what_was_shown_elsewhere_holds_on_that_engine_alone() -> None:
    runs = [run("envoy", SEL_1=PASS, SEL_2=PASS), run("ipvs", SEL_1=PASS, SEL_2=PASS)]
    shown = msgspec.structs.replace(CONTRACT, elsewhere={"NOD-1": Evidence("over there", {"envoy": ("table",)})})
    assert outcomes(shown, runs)["NOD-1"] == (Outcome.ELSEWHERE, Outcome.NOT_YET)
    assert broken(shown, runs) == []
    text = "\n".join(document(shown, runs))
    assert "| NOD-1 | MUST | elsewhere | not yet | four |" in text
    assert "- **NOD-1** elsewhere on Envoy: over there" in text
    assert "- **NOD-1** not yet on IPVS: comes later" in text


@pytest.mark.parametrize("finding", [FAIL, Finding(Outcome.NOT_RUN, "skipped")])
def test_a_must_that_fails_or_was_not_run_is_broken(finding: Finding) -> None:
    whole = run("envoy", SEL_1=PASS, SEL_2=PASS)
    assert broken(CONTRACT, [whole]) == []
    assert broken(CONTRACT, [whole, run("ipvs", SEL_1=PASS, SEL_2=finding)]) == ["SEL-2"]
    assert broken(CONTRACT, [run("envoy", SEL_1=PASS)]) == ["SEL-2"]


def test_what_failed_is_printed_with_its_words() -> None:
    lines = list(printed(CONTRACT, [run("ipvs", SEL_1=PASS, SEL_2=FAIL)]))
    assert "ipvs test_SEL_2_x: fail: call: boom" in lines


def test_only_the_generated_part_of_the_document_is_replaced() -> None:
    assert replaced(f"before\n{BEGIN}old\n{END}after\n", "new\n") == f"before\n{BEGIN}\nnew\n\n{END}after\n"
    with pytest.raises(ValueError, match="needs the lines"):
        replaced("before\n", "new\n")
