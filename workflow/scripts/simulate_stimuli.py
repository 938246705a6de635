"""Make the items, the words and the latent signals of a simulated dataset."""

import json

from lmcortex import cli, provenance, storage
from lmcortex.simulation import planted, text
from lmcortex.stimuli import fact


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--items", required=True, help="items.parquet to write")
    parser.add_argument("--words", required=True, help="words.parquet to write")
    parser.add_argument("--truth", required=True, help="truth.safetensors to write")
    args = parser.parse_args()
    settings, kind = args.spec["stimuli"], args.spec["kind"]
    if kind == "story":
        items, words = text.simulate_story(settings, args.spec["tr"])
    else:
        items, words = text.simulate_sentences(settings)
    latents, regions = planted.draw_latents(
        planted.runs_of(kind, items, words),
        args.spec["regions"],
        settings["latents"],
        settings["seed"],
    )
    quality = [fact("items", len(items)), fact("words", len(words))]
    record = provenance.record("simulate_stimuli", args.spec, simulated=True, quality=quality)
    storage.write_table(items, args.items, record)
    storage.write_table(words, args.words, record)
    rows = "words" if kind == "story" else "items"
    storage.write_arrays(
        {"latents": latents}, args.truth, record, rows=rows, regions=json.dumps(regions)
    )


if __name__ == "__main__":
    cli.run(main)
