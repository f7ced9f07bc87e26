"""Query lists: the shipped grammars, the files of one's own, and what is said about a bad one."""

import pytest

import datasets.queries
from datasets.queries import GRAMMARS, Query, expand_grammar, load_queries, shipped_grammars

SHIPPED = ["english_cooking", "hindi_cooking", "japanese_cooking"]


@pytest.fixture(scope="module")
def japanese():
    return load_queries("japanese_cooking")


def test_the_module_wins_over_the_folder_of_the_same_name():
    assert datasets.queries.__file__.endswith("queries.py")


def test_three_grammars_are_shipped():
    assert shipped_grammars() == SHIPPED


def test_japanese_has_enough_queries(japanese):
    assert len(japanese) >= 1500


@pytest.mark.parametrize("name", SHIPPED)
def test_no_query_is_there_twice(name):
    queries = [query.query for query in load_queries(name)]
    assert len(set(queries)) == len(queries)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_query_has_a_dish_and_a_technique(name):
    assert all({"dish", "technique"} <= {*query.facets} for query in load_queries(name))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_query_holds_its_dish_and_more(name):
    assert all(
        query.facets["dish"] in query.query and query.facets["dish"] != query.query for query in load_queries(name)
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_queries_are_clean_text(name):
    for query in load_queries(name):
        assert " ".join(query.query.split()) == query.query
        assert query.query.isprintable()
        assert "{" not in query.query


def test_a_dish_keeps_its_region(japanese):
    assert {query.facets["region"] for query in japanese if query.facets["dish"] == "ゴーヤーチャンプルー"} == {"沖縄"}


def test_every_prefecture_group_is_in_the_list(japanese):
    assert len({query.facets.get("region") for query in japanese} - {None}) >= 40


def test_the_order_starts_varied(japanese):
    first = japanese[:100]
    assert len({query.facets["dish"] for query in first}) == 100
    assert len({query.facets["technique"] for query in first}) >= 6
    assert len({query.query.removeprefix(query.facets["dish"]) for query in first}) >= 5


def test_the_order_is_the_same_each_time(japanese):
    assert load_queries("japanese_cooking") == japanese


@pytest.mark.media
def test_japanese_ingredients_name_their_source(shared_media):
    names = {}
    for line in (shared_media / "text" / "mext_food_names.tsv").read_text().splitlines()[1:]:
        names[line.split("\t")[1]] = line
    lines = (GRAMMARS / "japanese_ingredients.tsv").read_text().splitlines()
    assert all(line.split("\t")[2] in names for line in lines[2:])


def test_the_readme_has_the_counts():
    readme = (GRAMMARS / "README.md").read_text()
    for name in SHIPPED:
        row = next(line for line in readme.splitlines() if line.startswith(f"| {name} |"))
        assert row.split("|")[-2].strip() == f"{len(load_queries(name)):,}"


def test_a_text_file_gives_a_query_a_line(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("\ufeff# mine\n肉じゃが 作り方\n\n  oden recipe  \n肉じゃが 作り方\n", encoding="utf-8")
    assert load_queries(path) == [Query("肉じゃが 作り方"), Query("oden recipe")]


def test_a_tsv_gives_facets(tmp_path):
    path = tmp_path / "mine.tsv"
    path.write_text("region\tquery\tdish\n沖縄\tゴーヤー レシピ\t\n\tおでん\tおでん\n")
    assert load_queries(str(path)) == [
        Query("ゴーヤー レシピ", {"region": "沖縄"}),
        Query("おでん", {"dish": "おでん"}),
    ]


def test_facets_of_a_list_are_its_own_columns(tmp_path):
    path = tmp_path / "climbing.tsv"
    path.write_text("query\tsport\tlevel\t\nクライミング 入門\tboulder\tbeginner\tx\nアルパイン\talpine\t\t\n")
    assert load_queries(path) == [
        Query("クライミング 入門", {"sport": "boulder", "level": "beginner"}),
        Query("アルパイン", {"sport": "alpine"}),
    ]


def test_a_grammar_of_another_topic_needs_no_word_of_cooking(tmp_path):
    (tmp_path / "knots.tsv").write_text("knot\tuse\nbowline\trescue\n")
    (tmp_path / "ropes.tsv").write_text("rope\tkind\nhemp\tlaid\n")
    path = tmp_path / "knots.toml"
    path.write_text("""language = "en"\nnames = "knots.tsv"\nparts = "ropes.tsv"\nmade_by = "way"
name_phrases = ["how to tie a {knot}"]\nmade_phrases = ["{knot} tutorial"]\n[kinds.laid]\nsplice = "{rope} splice"\n""")
    assert set(load_queries(path)) == {
        Query("how to tie a bowline", {"knot": "bowline", "use": "rescue"}),
        Query("hemp splice tutorial", {"knot": "hemp splice", "way": "splice"}),
    }


def write_grammar(folder, dish_rows="dish\tregion\ttechnique\n", ingredient_rows="ingredient\tkind\n", **changes):
    (folder / "dishes.tsv").write_text(dish_rows)
    (folder / "ingredients.tsv").write_text(ingredient_rows)
    fields = {"language": '"xx"', "name_phrases": '["{dish} a", "{dish} b"]', "made_phrases": '["{dish} c"]'}
    fields |= {"names": '"dishes.tsv"', "parts": '"ingredients.tsv"', "made_by": '"technique"', **changes}
    text = "".join(f"{name} = {value}\n" for name, value in fields.items())
    path = folder / "grammar.toml"
    path.write_text(text + '[kinds.root]\nboil = "boiled {ingredient}"\nfry = "fried {ingredient}"\n')
    return path


def test_a_grammar_crosses_words_with_phrases(tmp_path):
    path = write_grammar(tmp_path, "dish\tregion\ttechnique\nstew\tnorth\tboil\n", "ingredient\tkind\nturnip\troot\n")
    assert set(load_queries(path)) == {
        Query("stew a", {"dish": "stew", "technique": "boil", "region": "north"}),
        Query("stew b", {"dish": "stew", "technique": "boil", "region": "north"}),
        Query("boiled turnip c", {"dish": "boiled turnip", "technique": "boil"}),
        Query("fried turnip c", {"dish": "fried turnip", "technique": "fry"}),
    }


def test_a_made_dish_that_is_named_too_keeps_its_region(tmp_path):
    dish_rows = "dish\tregion\ttechnique\nfried turnip\tnorth\tfry\n"
    queries = expand_grammar(write_grammar(tmp_path, dish_rows, "ingredient\tkind\nturnip\troot\n"))
    assert {query.facets["region"] for query in queries if query.facets["dish"] == "fried turnip"} == {"north"}


def test_a_way_of_making_cannot_be_a_column_of_ours(tmp_path):
    path = write_grammar(tmp_path, ingredient_rows="ingredient\tkind\nturnip\troot\n", made_by='"query"')
    with pytest.raises(ValueError, match="cannot be called 'query'"):
        load_queries(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name_phrases": "[]"}, "name_phrases"),
        ({"name_phrases": '["recipe"]'}, "slot {dish} once"),
        ({"colour": '"red"'}, "colour"),
        ({"language": "5"}, "language"),
        ({"names": '"absent.tsv"'}, "absent.tsv"),
        ({"language": ""}, "not TOML"),
        ({"parts": '"dishes.tsv"'}, "missing kind"),
    ],
)
def test_a_bad_grammar_is_refused_in_one_line(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as error:
        load_queries(write_grammar(tmp_path, **changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b"# nothing\n", "no query"),
        ("bytes.txt", b"\xff\xfe\x00", "UTF-8"),
        ("headless.tsv", "おでん\tおでん\n".encode(), "missing query"),
        ("wide.tsv", b"query\na\tb\n", "bad row"),
        ("hollow.tsv", b"dish\tquery\nx\t\n", "bad row"),
        ("taken.tsv", b"query\tstatus\na\tb\n", "a facet cannot be called 'status'"),
        ("counted.tsv", b"query\tclips\na\tb\n", "a facet cannot be called 'clips'"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        load_queries(tmp_path / name)
    assert "\n" not in str(error.value)


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(ValueError, match="japanese_cooking"):
        load_queries("klingon_cooking")


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match="kind of turnip"):
        load_queries(write_grammar(tmp_path, ingredient_rows="ingredient\tkind\nturnip\tleaf\n"))
