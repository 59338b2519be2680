import json

import cv2
import numpy as np
import pytest
import torch
from human3r_lab.evaluation import html_report
from human3r_lab.evaluation.comparison import compare, differences
from human3r_lab.evaluation.html_report import write_report
from human3r_lab.evaluation.measures import MEASURES
from human3r_lab.evaluation.pictures import PictureKeeper
from human3r_lab.evaluation.plots import sorted_plot, step_plot
from human3r_lab.evaluation.results_file import read_results, results_document, write_results
from human3r_lab.evaluation.runner import evaluate
from human3r_lab.evaluation.truth import FreeBodyScheme

from human3r.config import Settings
from human3r.errors import InputError, OutputError
from tests.evaluation.small_world import Told, ToldPipeline, ToldSequence, free_body, walk

WEIGHTS = {
    "file": "<some>.safetensors",
    "sha256": 64 * "a",
    "variant": "tiny",
    "trained": True,
    "body_model": "free_body",
}
HEAD = 15


def outcome(told=None, watch=None):
    """Two short sequences, one of each half, as a results document."""
    truths = walk(4)
    pipeline = ToldPipeline(truths, told)
    sequences = [ToldSequence("easy-000", truths), ToldSequence("hard-000", truths[:3], "hard")]
    done = evaluate(sequences, pipeline, FreeBodyScheme(free_body()), watch=watch)
    return results_document(
        done,
        dataset={"name": "synthetic", "first_seed": 0},
        weights=WEIGHTS,
        settings=Settings(),
        device=torch.device("cpu"),
    )


@pytest.fixture(scope="module")
def keeper():
    return PictureKeeper(free_body().faces, free_body().faces, HEAD)


@pytest.fixture(scope="module")
def document(keeper):
    return outcome(Told(head_shift_m=(0, 0, 0.3), missed=(2,)), keeper)


def test_results_come_back_as_they_were_written(document, tmp_path):
    write_results(tmp_path / "results.json", document)
    assert read_results(tmp_path / "results.json") == document
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_results_say_what_made_them(document):
    assert document["weights"]["sha256"] == 64 * "a"
    assert document["settings"]["people.min_score"] == 0.3
    assert document["hardware"]["cores"] > 0
    assert document["hardware"]["torch"] == torch.__version__
    assert document["dataset"]["first_seed"] == 0
    assert document["date"].startswith("20")


def test_each_half_and_each_sequence_has_its_own_numbers(document):
    assert list(document["numbers"]) == ["all", "easy", "hard"]
    assert [s["name"] for s in document["sequences"]] == ["easy-000", "hard-000"]
    assert document["counts"]["easy"]["people_matched"] == 4
    assert document["counts"]["all"]["people_matched"] == 7
    for numbers in (*document["numbers"].values(), document["sequences"][0]["numbers"]):
        assert set(numbers) == set(MEASURES)
        assert numbers["root_error_mm"] == pytest.approx(300, abs=0.1)
    assert document["sequences"][1]["weights"]["mpjpe_mm"] == 3
    steps = document["curves"]["distance"]["means"]["recall"]
    assert sum(step["weight"] for step in steps if step) == 14


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[1]", "'list'"),
        (b'{"format": "other"}', "'other'"),
        (b'{"format": "human3r-evaluation-1"}', "incomplete"),
        (b"[" * 100_000, "cannot be read"),
    ],
)
def test_other_files_are_refused(tmp_path, content, words):
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_results(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        read_results(tmp_path / "nowhere.json")


def test_results_cannot_be_written_to_nowhere(document, tmp_path):
    with pytest.raises(OutputError):
        write_results(tmp_path / "no" / "results.json", document)


def test_a_comparison_says_what_became_better_and_where(document):
    better = outcome(Told(head_shift_m=(0, 0, 0.1)))
    rows = {row.name: row for row in compare(document, better)}
    root = rows["root_error_mm"]
    assert (root.a, root.b) == (pytest.approx(300, abs=0.1), pytest.approx(100, abs=0.1))
    assert root.is_b_better is True
    assert (root.sequences_better, root.sequences_worse) == (2, 0)
    assert rows["recall"].is_b_better is True
    assert rows["person_scale"].is_b_better is True, "nearer to one"
    assert rows["abs_rel"].is_b_better is None
    back = {row.name: row for row in compare(better, document)}
    assert back["recall"].is_b_better is False
    assert back["root_error_mm"].sequences_worse == 2
    assert differences(document, better) == []


def test_what_makes_two_results_incomparable_is_said(document):
    other = json.loads(json.dumps(document))
    other["dataset"]["first_seed"] = 7
    other["settings"]["people.min_score"] = 0.5
    other["settings"]["model.weights"] = "other.safetensors"
    other["sequences"].pop()
    words = differences(document, other)
    assert len(words) == 3
    assert any("first_seed" in line for line in words)
    assert any("min_score: 0.3 and 0.5" in line for line in words)
    assert any("1 only in the first" in line for line in words)


def test_the_page_needs_nothing_else_and_shows_everything(document, keeper, tmp_path):
    path = tmp_path / "report.html"
    pictures = {kind: keeper.pictures(kind) for kind in ("worst", "best")}
    write_report(path, document, pictures)
    page = path.read_text(encoding="utf-8")
    for words in ("MPJPE", "goal, easy", "✗", "✓", "Worst frames", "Best frames", "hard-000"):
        assert words in page, words
    assert page.count("data:image/jpeg;base64,") == 4
    assert page.count("data:image/svg+xml;base64,") >= 10
    assert "<some>" not in page
    assert "&lt;some&gt;" in page
    for outside in ("http://", "https://", "<script", 'src="/'):
        assert outside not in page


def test_the_page_warns_of_untrained_weights_and_failed_frames(tmp_path, monkeypatch):
    for plot in ("step_plot", "sorted_plot"):  # Those of the page above have all their strokes.
        monkeypatch.setattr(html_report, plot, lambda *_: "<svg/>")
    document = outcome(Told(failing=(1,)))
    document["weights"]["trained"] = False
    document["sequences"][0]["error"] = "<b>damaged</b>"
    document["sequences_failed"] = 1
    write_report(tmp_path / "report.html", document, {})
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "untrained" in page
    assert "failed on 2 frames" in page
    assert "&lt;b&gt;damaged" in page


def test_worst_and_best_frames_are_kept_one_per_sequence(keeper):
    for kind in ("worst", "best"):
        kept = keeper.pictures(kind)
        assert sorted(picture.sequence for picture in kept) == ["easy-000", "hard-000"]
        # One of two people is missed, the other is off by 30 cm.
        assert all(picture.badness_m == pytest.approx(0.65, abs=0.01) for picture in kept)
        image = cv2.imdecode(np.frombuffer(kept[0].jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (320, 960, 3)


def test_the_worst_frame_comes_first():
    truths = walk(5)
    keeper = PictureKeeper(free_body().faces, free_body().faces, HEAD)
    for name, told in (("a", Told()), ("b", Told(missed=(1,))), ("c", Told(missed=(1, 2)))):
        pipeline = ToldPipeline(truths, told)
        scheme = FreeBodyScheme(free_body())
        evaluate([ToldSequence(name, truths)], pipeline, scheme, watch=keeper)
    assert [picture.sequence for picture in keeper.pictures("worst")] == ["c", "b", "a"]
    assert [picture.sequence for picture in keeper.pictures("best")] == ["a", "b", "c"]


def test_plots_are_well_formed_whatever_the_numbers():
    from xml.etree import ElementTree

    values = [None, 0.0, 3.7e-9, 12345.6]
    plots = [
        step_plot("a < b", "axis & more", ["< 1", "1-2", "2-3", "≥ 3"], values, [0, 1, 2, 3]),
        step_plot("nothing", "$axis", ["a", "b"], [None, None], [0, 0]),
        sorted_plot("sorted", [("easy", [("<s$>", 1.0), ("t", 2.0)]), ("", [("$u^", 9.0)])], 5.0),
        sorted_plot("zeros", [("", [("s", 0.0), ("t", 0.0)])], None),
        sorted_plot("none", [], None),
    ]
    texts = [
        [word for text in ElementTree.fromstring(plot).iter() for word in [text.text or ""]]
        for plot in plots
    ]
    assert {"a < b", "axis & more", "< 1", "1-2", "≥ 3"} <= set(texts[0])
    assert "$axis" in texts[1]
    # The largest of each series is named.
    assert {"sorted", "easy", "goal", "t", "$u^"} <= set(texts[2])
    assert "goal" not in texts[4]
    assert sorted_plot("none", [], None) == plots[4], "the same numbers give the same bytes"
