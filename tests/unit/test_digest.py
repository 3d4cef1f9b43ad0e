import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirrorflow.errors import SettingsMismatchError
from mirrorflow.store.digest import canonical, digest, file_digest, require_same_settings

values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
mappings = st.recursive(
    st.dictionaries(st.text(max_size=3), values, max_size=4),
    lambda inner: st.dictionaries(st.text(max_size=3), values | inner, max_size=4),
    max_leaves=10,
)


@given(mappings)
@settings(max_examples=50, deadline=None, derandomize=True, database=None)
def test_settings_in_another_order_are_the_same(mapping):
    turned = dict(reversed(mapping.items()))
    assert canonical(turned) == canonical(mapping)
    assert digest(turned) == digest(mapping)
    require_same_settings("file", canonical(mapping), turned)


def test_a_digest_is_sixteen_digits_and_stays_the_same_for_ever():
    assert digest({"size_px": 256, "mpp": 0.5}) == "44e4515c649f5b6c"


@pytest.mark.parametrize(
    "other",
    [{"a": 2, "b": {"c": [1, 2]}}, {"a": 1, "b": {"c": [2, 1]}}, {"a": 1}, {"a": 1, "b": {"c": [1, 2]}, "d": None}],
)
def test_other_settings_have_another_digest(other):
    assert digest(other) != digest({"a": 1, "b": {"c": [1, 2]}})


def test_a_mismatch_names_each_setting_both_values_and_the_mend():
    stored = canonical({"patching": {"mpp": 0.5, "size_px": 256}, "weights": "V1", "old": 1})
    wanted = {"patching": {"mpp": 0.5, "size_px": 512}, "weights": "V1", "new": None}
    with pytest.raises(SettingsMismatchError) as caught:
        require_same_settings("store/a.h5", stored, wanted)
    lines = str(caught.value).splitlines()
    assert lines[0] == "store/a.h5: made with other settings, not reused and not overwritten:"
    assert lines[1:-1] == [
        "  new: made with 'nothing', this run wants None",
        "  old: made with 1, this run wants 'nothing'",
        "  patching.size_px: made with 256, this run wants 512",
    ]
    assert "choose another `store`" in lines[-1]


def test_an_empty_section_differs_from_none_and_is_named():
    with pytest.raises(SettingsMismatchError, match=r"overrides: made with \{\}, this run wants 'nothing'"):
        require_same_settings("a", canonical({"overrides": {}}), {})


def test_spacing_of_the_stored_settings_does_not_matter():
    require_same_settings("a", '{ "b": 2,\n "a": [1, 2] }', {"a": (1, 2), "b": 2})


def test_a_files_digest_follows_its_content(tmp_path):
    for name, text in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / name).write_text(text)
    assert file_digest(tmp_path / "a") == file_digest(str(tmp_path / "b")) != file_digest(tmp_path / "c")
