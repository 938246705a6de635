"""What is measured: every variant of entropy and curvature."""

# `raw`: the states as they are. `normalised`: each state scaled to length 1, so that no token
# outweighs the others. `centred`: the sentence's mean taken out first, then length 1. `skean`: that
# with negative cosines set to 0, as the code published with Skean et al. 2025 (Layer by Layer;
# github.com/OFSkean/information_flow) does, though the paper does not say so.
ENTROPIES = ("raw", "normalised", "centred", "skean")
# `steps`: the angle between one step, the difference of consecutive states, and the next (Hosseini
# & Fedorenko 2023, NeurIPS). `tokens`: the angle between consecutive states, the sentence's mean
# taken out, which is what the first code of Skean et al. computes.
CURVATURES = ("steps", "tokens")

NATS, LOG_TOKENS, DEGREES = "nats", "log tokens", "degrees"
# measure, variant, unit
MEASURES = (
    *(("entropy", variant, NATS) for variant in ENTROPIES),
    *(("entropy", variant, LOG_TOKENS) for variant in ENTROPIES),
    *(("curvature", variant, DEGREES) for variant in CURVATURES),
)
FIRST_TOKEN = (True, False)  # each of them with and without a sentence's first token

# Columns that tell the rows of a checkpoint's table apart.
KEY = ["layer", "state", "measure", "variant", "unit", "first_token"]
