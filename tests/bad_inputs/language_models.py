"""Mistakes with language models, unlabeled texts and n-grams."""

from bad_inputs.row import Bad

LANGUAGE_MODELS = (
    Bad(
        "n-grams that take gigabytes",
        "--set data.classes=[a, b, c]: n-grams may take 2.7 GB in training, but 2**26 buckets of 3 classes take 4.0 GB: lower model.ngrams.bits",
        sets=("model.ngrams.bits=26", "data.classes=[a, b, c]"),
    ),
    Bad(
        "more bits than an n-gram has",
        "--set model.ngrams.bits=40 model.ngrams.bits: must be less than or equal to 26, but got 40",
        sets=("model.ngrams.bits=40",),
    ),
    Bad(
        "word vectors beside a language model",
        "--set model.pretrained_vectors=v.txt model: init_from has an embedding of its own: leave pretrained_vectors out, or init_from",
        sets=("model.init_from=latest", "model.pretrained_vectors=v.txt"),
    ),
    Bad(
        "a language model of no name",
        "--set model.init_from='' model.init_from: must have at least 1 character, but got ''",
        sets=("model.init_from=''",),
    ),
    Bad(
        "texts without labels, without a source",
        "--set data.unlabeled={} data.unlabeled.source: the key `source` is required -- add it; `rnnlane schema` says what it means",
        sets=("data.unlabeled={}",),
    ),
    Bad(
        "no tokens at all in a step of pretraining",
        "--set pretraining.bptt=0 pretraining.bptt: must be greater than or equal to 1, but got 0",
        sets=("pretraining.bptt=0",),
    ),
)
