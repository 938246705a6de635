"""Turn a dataset's sentences, or timed words of a story, into a table of items and one of words."""

from lmcortex import cli, provenance, stimuli, storage


def main() -> None:
    parser = cli.parser(__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--sentences", help="table of sentences (.csv, .tsv)")
    source.add_argument("--words", nargs="+", help="timed words: one file, or one per run")
    source.add_argument("--archive", help="note of timed words that were fetched")
    parser.add_argument("--text", nargs="*", default=[], help="full text of a story, per run")
    parser.add_argument("--output-items", required=True)
    parser.add_argument("--output-words", required=True)
    args = parser.parse_args()

    words = storage.read_json(args.archive)["files"] if args.archive else args.words
    if args.sentences:
        stimulus = stimuli.prepare_sentences(args.sentences, args.spec)
    else:
        stimulus = stimuli.prepare_story(words, args.text, args.spec)
    sources = [args.sentences] if args.sentences else [*words, *args.text]
    facts = {"quality": stimulus.quality, "data_hash": provenance.data_hash(sources)}
    record = provenance.record("prepare_stimuli", args.spec, **facts)
    storage.write_table(stimulus.items, args.output_items, record)
    storage.write_table(stimulus.words, args.output_words, record)


if __name__ == "__main__":
    cli.run(main)
