"""What a run asks for: the queries of a list, or the ids, channels and playlists of a file."""

from datasets.queries import Query, load_queries
from extract.sources import read_ids_file, video_id_of
from flows.config import Config


def plan_queries(config: Config) -> list[Query]:
    """All queries, in the order to ask them.

    Raises:
        ValueError: the list or file is not named or cannot be read.
    """
    if config.source.name != "ids":
        return load_queries(config.search.queries)[: config.search.max_queries]
    if config.source.ids_file is None:
        raise ValueError('source.ids_file is not set: with source.name = "ids", name a file with one id a line')
    addresses = read_ids_file(config.source.ids_file)
    return [Query(address) for address in addresses][: config.search.max_queries]


def count_listings(config: Config) -> int:
    """How many of the queries must be asked for to know their videos; an id of a file needs no asking."""
    if config.source.name != "ids":
        return len(plan_queries(config))
    return sum(video_id_of(query.query) is None for query in plan_queries(config))
