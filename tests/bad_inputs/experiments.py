"""Experiments and overrides that `validate` refuses."""

from bad_inputs.row import Bad

EXPERIMENTS = (
    Bad(
        "a seed that no library holds",
        "--set seed=99999999999999999999999999 seed: a whole number must be at most 2147483647, but got 99999999999999999999999999",
        sets=("seed=99999999999999999999999999",),
    ),
    Bad(
        "a negative seed",
        "--set seed=-1 seed: must be greater than or equal to 0, but got -1",
        sets=("seed=-1",),
    ),
    Bad(
        "true for a number",
        "--set training.global_batch_size=true training.global_batch_size: must be a number, but got true",
        sets=("training.global_batch_size=true",),
    ),
    Bad(
        "a share above one",
        "--set data.test=1.5 data.test: must be 'official' or less than 1, but got 1.5",
        sets=("data.test=1.5",),
    ),
    Bad(
        "a share of zero",
        "--set data.val=0 data.val: must be greater than 0, but got 0",
        sets=("data.val=0",),
    ),
    Bad(
        "not a number",
        "--set training.learning_rate=.nan training.learning_rate: must be a finite number, but got nan",
        sets=("training.learning_rate=.nan",),
    ),
    Bad(
        "no number at all",
        "--set training.epochs= training.epochs: must be a whole number, but got null",
        sets=("training.epochs=",),
    ),
    Bad(
        "text for a number",
        "--set training.epochs=three training.epochs: must be a whole number, but got 'three'",
        sets=("training.epochs=three",),
    ),
    Bad(
        "fewer epochs than layers to unfreeze",
        "--set training.epochs=2: training.gradual_unfreezing takes an epoch for the head, one for each of model.num_layers and one for the embedding: training.epochs must be at least 3, but got 2",
        sets=("training.gradual_unfreezing=true", "training.epochs=2"),
    ),
    Bad(
        "layers that learn faster below",
        "--set training.layer_rate_decay=2 training.layer_rate_decay: must be less than or equal to 1, but got 2",
        sets=("training.layer_rate_decay=2",),
    ),
    Bad(
        "half an epoch",
        "--set training.epochs=1.5 training.epochs: must be a whole number, but got 1.5",
        sets=("training.epochs=1.5",),
    ),
    Bad(
        "infinite clip norm",
        "--set training.clip.max_norm=.inf training.clip.max_norm: must be a finite number, but got inf",
        sets=("training.clip.max_norm=.inf",),
    ),
    Bad(
        "an unknown key",
        "--set trainig.epochs=3 trainig: unknown key `trainig` -- did you mean `training`?",
        sets=("trainig.epochs=3",),
    ),
    Bad(
        "an unknown inner key",
        "--set training.clip.maxnorm=1 training.clip.maxnorm: unknown key `maxnorm` -- did you mean `max_norm`?",
        sets=("training.clip.maxnorm=1",),
    ),
    Bad(
        "a renamed key",
        "--set training.clip.trial_steps=8 training.clip.trial_steps: `trial_steps` is now `calibration_steps` -- rename the key",
        sets=("training.clip.trial_steps=8",),
    ),
    Bad(
        "an unknown value",
        "--set training.optimizer=Adamm training.optimizer: must be 'adam', 'adamw' or 'sgd', but got 'Adamm' -- did you mean adam?",
        sets=("training.optimizer=Adamm",),
    ),
    Bad(
        "a value in capitals",
        "--set model.cell=LSTM model.cell: must be 'rnn', 'lstm' or 'gru', but got 'LSTM' -- did you mean lstm?",
        sets=("model.cell=LSTM",),
    ),
    Bad(
        "an unknown kind",
        "--set data.source.kind=jsnl data.source.kind: kind must be one of 'imdb', 'csv', 'jsonl', 'parquet', 'text', 'generated', but got 'jsnl' -- did you mean jsonl?",
        sets=("data.source.kind=jsnl",),
    ),
    Bad(
        "a key of another kind",
        "--set data.source.delimiter=; data.source.delimiter: a source of kind generated has no key `delimiter` -- kind csv has",
        sets=("data.source.delimiter=;",),
    ),
    Bad(
        "a section for a value",
        "--set model=lstm model: must be a mapping of keys, but got 'lstm'",
        sets=("model=lstm",),
    ),
    Bad(
        "a value for a section",
        "--set training.epochs.x=3 training.epochs: must be a whole number, but got {'x': 3}",
        sets=("training.epochs.x=3",),
    ),
    Bad(
        "dropout that a single layer cannot have",
        "--set model.dropout=0.5 model: dropout acts between layers and needs num_layers >= 2, but got (dropout=0.5, num_layers=1)",
        sets=("model.dropout=0.5",),
    ),
    Bad(
        "a batch smaller than the workers",
        "--set training.global_batch_size=1: training.global_batch_size must be at least runtime.num_workers, but got (1, 2)",
        sets=("training.global_batch_size=1",),
    ),
    Bad(
        "fewer than zero workers",
        "--set runtime.num_workers=-1 runtime.num_workers: num_workers must be a whole number from 0, [min, max] with 1 <= min < max, or auto, but got -1",
        sets=("runtime.num_workers=-1",),
    ),
    Bad(
        "a range of workers upside down",
        "--set runtime.num_workers=[4,2] runtime.num_workers: num_workers must be a whole number from 0, [min, max] with 1 <= min < max, or auto, but got [4, 2]",
        sets=("runtime.num_workers=[4,2]",),
    ),
    Bad(
        "repeated classes",
        "--set data.classes=[a, a] data: classes must differ, but got ['a', 'a']",
        sets=("data.classes=[a, a]",),
    ),
    Bad(
        "one class",
        "--set data.classes=[a] data.classes: must have at least 2 items, but got ['a']",
        sets=("data.classes=[a]",),
    ),
    Bad(
        "classes as a number",
        "--set data.classes=3 data.classes: must be a list, but got 3",
        sets=("data.classes=3",),
    ),
    Bad(
        "an official test that the source lacks",
        "--set data.test=official data: test: official needs a source with a test split, but got kind generated without test_path; give a fraction or test_path",
        sets=("data.test=official",),
    ),
    Bad(
        "a name that is no file name",
        "--set name=../x name: must be letters of a to z, digits, dots, dashes and underscores, with a letter or a digit first, but got '../x'",
        sets=("name=../x",),
    ),
    Bad("an empty name", "--set name= name: must be text, but got null", sets=("name=",)),
    Bad(
        "a name of 200 characters",
        "--set name=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx name: must have at most 80 characters, but got 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...",
        sets=(
            "name=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ),
    ),
    Bad(
        "a number as a name",
        '--set name=7 name: must be text, but got 7 -- write it in quotes: "7"',
        sets=("name=7",),
    ),
    Bad(
        "a sentence without words",
        "--set sample_text='' sample_text: must have at least 1 character, but got ''",
        sets=("sample_text=''",),
    ),
    Bad(
        "a metric without its split",
        "--set training.metric=accuracy training.metric: must be 'val/loss', 'val/accuracy', 'val/macro_f1' or 'val/roc_auc', but got 'accuracy' -- did you mean val/accuracy?",
        sets=("training.metric=accuracy",),
    ),
    Bad(
        "stop words with characters",
        "--set text.stop_words=english text: stop_words must be off with tokenizer characters, but got 'english'",
        sets=("text.tokenizer=characters", "text.stop_words=english"),
    ),
    Bad(
        "bfloat16 without a GPU",
        "--set runtime.device=cpu: training.precision bfloat16 needs a GPU, but got runtime.device cpu",
        sets=("training.precision=bfloat16", "runtime.device=cpu"),
    ),
    Bad(
        "credentials in an address",
        "--set runtime.storage_path=s3://KEY:SECRET@bucket/x runtime.storage_path: an address may not hold credentials, because it is logged; give them in the environment, such as AWS_ACCESS_KEY_ID",
        sets=("runtime.storage_path=s3://KEY:SECRET@bucket/x",),
    ),
    Bad(
        "of_mean without auto",
        "--set training.clip.of_mean=2 training.clip: of_mean needs policy auto, but got (of_mean=2, policy=fixed)",
        sets=("training.clip.of_mean=2",),
    ),
    Bad(
        "word vectors for characters",
        "--set model.pretrained_vectors=v.txt: model.pretrained_vectors holds words and needs a word tokenizer, but got text.tokenizer characters",
        sets=("text.tokenizer=characters", "model.pretrained_vectors=v.txt"),
    ),
    Bad(
        "a century between checkpoints",
        "--set training.checkpoint_every_s=1e300 training.checkpoint_every_s: must be less than or equal to 1000000000, but got 1e+300",
        sets=("training.checkpoint_every_s=1e300",),
    ),
    Bad(
        "a tag that is a number",
        '--set tracking.tags={a: 1} tracking.tags.a: must be text, but got 1 -- write it in quotes: "1"',
        sets=("tracking.tags={a: 1}",),
    ),
    Bad(
        "an override without a value",
        "--set training.epochs: an override must read dotted.key=value, but got 'training.epochs' -- for example --set training.clip.max_norm=1.5",
        sets=("training.epochs",),
    ),
    Bad(
        "an override without a key",
        "--set =3: an override must read dotted.key=value, but got '=3' -- for example --set training.clip.max_norm=1.5",
        sets=("=3",),
    ),
    Bad(
        "an override with an empty part",
        "--set training..epochs=3: an override must read dotted.key=value, but got 'training..epochs=3' -- for example --set training.clip.max_norm=1.5",
        sets=("training..epochs=3",),
    ),
    Bad(
        "an override that is no YAML",
        "--set data.classes=[a:1: not valid YAML: expected ',' or ']', but got '<stream end>' -- correct the syntax; `rnnlane schema` lists the keys",
        sets=("data.classes=[a",),
    ),
    Bad(
        "an override with words after its end",
        "--set data.classes=[a, b] # two: the value must end where it closes, but '# two' follows",
        sets=("data.classes=[a, b] # two",),
    ),
    Bad(
        "more than one GPU for a worker",
        "--set search.gpus_per_worker=1.5 search.gpus_per_worker: must be less than or equal to 1, but got 1.5",
        sets=("search.space.model.hidden_size=choice(1, 2)", "search.gpus_per_worker=1.5"),
    ),
    Bad(
        "workers of a trial that share a GPU",
        "--set search.gpus_per_worker=0.25 search: gpus_per_worker must be 0 or 1 where workers_per_trial is above 1, as NCCL takes one process for each GPU, but got (0.25, 2)",
        sets=(
            "search.space.model.hidden_size=choice(1, 2)",
            "search.workers_per_trial=2",
            "search.gpus_per_worker=0.25",
        ),
    ),
    Bad(
        "no seeds",
        "--set training.seeds=0 training.seeds: must be greater than or equal to 1, but got 0",
        sets=("training.seeds=0",),
    ),
    Bad(
        "more seeds than anybody waits for",
        "--set training.seeds=101 training.seeds: must be less than or equal to 100, but got 101",
        sets=("training.seeds=101",),
    ),
    Bad(
        "seeds beyond the largest one",
        "--set training.seed=2147483647: the last of training.seeds must be at most 2147483647, but got 2147483648",
        sets=("training.seeds=2", "training.seed=2147483647"),
    ),
    Bad(
        "trials with several seeds",
        "--set search.space.training.seeds=choice(1, 2) search.space.training.seeds: `training.seeds` may not vary: a trial trains with one seed; search.repeats tries several -- remove it from the space",
        sets=("search.space.training.seeds=choice(1, 2)",),
    ),
    Bad(
        "an empty search space",
        "--set search.space={} search.space: must have at least 1 item, but got {}",
        sets=("search.space={}",),
    ),
    Bad(
        "an unknown key in a search space",
        "--set search.space.model.hidden_sze=choice(1, 2) search.space.model.hidden_sze: unknown key `model.hidden_sze` -- did you mean `model.hidden_size`?",
        sets=("search.space.model.hidden_sze=choice(1, 2)",),
    ),
    Bad(
        "a key that may not vary",
        "--set search.space.seed=choice(1, 2) search.space.seed: `seed` may not vary: trials on different splits cannot be compared; search.repeats tries several seeds -- remove it from the space",
        sets=("search.space.seed=choice(1, 2)",),
    ),
    Bad(
        "a distribution upside down",
        "--set search.space.model.hidden_size=randint(8, 4) search.space.model.hidden_size: low <= high must hold, but got (low=8, high=4)",
        sets=("search.space.model.hidden_size=randint(8, 4)",),
    ),
    Bad(
        "an unknown distribution",
        "--set search.space.model.hidden_size=normal(8, 4) search.space.model.hidden_size: unknown distribution `normal`; known: choice, uniform, loguniform, randint, steps",
        sets=("search.space.model.hidden_size=normal(8, 4)",),
    ),
    Bad(
        "a space that holds an invalid experiment",
        "--set search.space.model.hidden_size=choice(0, 4) search.space.model.hidden_size: model.hidden_size=0 breaks a rule: must be greater than or equal to 1, but got 0 -- leave out model.hidden_size=0, or give the key a `when`",
        sets=("search.space.model.hidden_size=choice(0, 4)",),
    ),
    Bad(
        "a logarithm of zero",
        "--set search.space.training.learning_rate=loguniform(0, 1) search.space.training.learning_rate: low > 0 must hold, but got (low=0)",
        sets=("search.space.training.learning_rate=loguniform(0, 1)",),
    ),
    Bad(
        "the same choice twice",
        "--set search.space.model.hidden_size=choice(8, 8) search.space.model.hidden_size: choices must differ, but got 8 twice",
        sets=("search.space.model.hidden_size=choice(8, 8)",),
    ),
    Bad(
        "an empty file",
        "x.yaml: an experiment must be a mapping of keys, but got null -- start with `name:` and `data:`; experiments/demo.yaml is an example",
        yaml="",
    ),
    Bad(
        "a list",
        "x.yaml: an experiment must be a mapping of keys, but got ['a', 'b'] -- start with `name:` and `data:`; experiments/demo.yaml is an example",
        yaml="- a\n- b\n",
    ),
    Bad(
        "a text",
        "x.yaml: an experiment must be a mapping of keys, but got 'hello' -- start with `name:` and `data:`; experiments/demo.yaml is an example",
        yaml="hello\n",
    ),
    Bad(
        "no name",
        "x.yaml name: the key `name` is required -- add it; `rnnlane schema` says what it means",
        yaml="data:\n  source: {kind: generated}\n",
    ),
    Bad(
        "no source",
        "x.yaml:2 data.source: the key `source` is required -- add it; `rnnlane schema` says what it means",
        yaml="name: x\ndata: {}\n",
    ),
    Bad(
        "a source without a kind",
        "x.yaml:3 data.source.kind: a source needs its `kind` -- add kind: one of imdb, csv, jsonl, parquet, text, generated",
        yaml="name: x\ndata:\n  source: {path: a.csv}\n",
    ),
    Bad(
        "a key twice",
        "x.yaml:4 name: a key may appear only once, but `name` is also on line 1 -- remove one of the two",
        yaml="name: x\ndata:\n  source: {kind: generated}\nname: y\n",
    ),
    Bad(
        "an unclosed list",
        "x.yaml:5: not valid YAML: expected ',' or ']', but got '<stream end>' -- correct the syntax; `rnnlane schema` lists the keys",
        yaml="name: x\ndata:\n  source: {kind: generated}\ntraining: [1\n",
    ),
    Bad(
        "a tab for indentation",
        "x.yaml:3: not valid YAML: found character '\\t' that cannot start any token -- correct the syntax; `rnnlane schema` lists the keys",
        yaml="name: x\ndata:\n\tsource: {}\n",
    ),
    Bad(
        "a Python object",
        "x.yaml:1: not valid YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.system' -- correct the syntax; `rnnlane schema` lists the keys",
        yaml="name: !!python/object/apply:os.system [ls]\n",
    ),
    Bad(
        "an unknown anchor",
        "x.yaml:1: not valid YAML: found undefined alias 'x' -- correct the syntax; `rnnlane schema` lists the keys",
        yaml="name: *x\n",
    ),
    Bad(
        "aliases that multiply",
        "x.yaml: an experiment must have at most 20,000 values, but this one has more -- an alias counts as all that it repeats",
        yaml="a0: &a0 [x, x, x, x, x, x, x, x, x, x]\na1: &a1 [*a0, *a0, *a0, *a0, *a0, *a0, *a0, *a0, *a0, *a0]\na2: &a2 [*a1, *a1, *a1, *a1, *a1, *a1, *a1, *a1, *a1, *a1]\na3: &a3 [*a2, *a2, *a2, *a2, *a2, *a2, *a2, *a2, *a2, *a2]\na4: &a4 [*a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3]\na5: &a5 [*a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4, *a4]\na6: &a6 [*a5, *a5, *a5, *a5, *a5, *a5, *a5, *a5, *a5, *a5]\na7: &a7 [*a6, *a6, *a6, *a6, *a6, *a6, *a6, *a6, *a6, *a6]\na8: &a8 [*a7, *a7, *a7, *a7, *a7, *a7, *a7, *a7, *a7, *a7]\na9: &a9 [*a8, *a8, *a8, *a8, *a8, *a8, *a8, *a8, *a8, *a8]\na10: &a10 [*a9, *a9, *a9, *a9, *a9, *a9, *a9, *a9, *a9, *a9]\n",
    ),
    Bad(
        "an alias of itself",
        "x.yaml: an experiment must have at most 20,000 values, but this one has more -- an alias counts as all that it repeats",
        yaml="a: &a [*a]\n",
    ),
    Bad(
        "lists nested a thousand deep",
        "x.yaml: lists and mappings are nested too deeply -- an experiment has sections of a few levels",
        yaml="a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
    ),
    Bad(
        "two documents",
        "x.yaml:4: not valid YAML: expected a single document, but found another one -- correct the syntax; `rnnlane schema` lists the keys",
        yaml="name: x\ndata:\n  source: {kind: generated}\n---\nname: x\ndata:\n  source: {kind: generated}\n",
    ),
    Bad(
        "a control character",
        "x.yaml: not valid YAML: unacceptable character #x0007: special characters are not allowed",
        yaml="name: x\u0007\n",
    ),
    Bad(
        "latin-1 letters",
        "x.yaml: an experiment must be UTF-8 text, but byte 9 is not",
        yaml=b"name: caf\xe9\n",
    ),
    Bad(
        "UTF-16",
        "x.yaml: an experiment must be UTF-8 text, but byte 0 is not",
        yaml=b"\xff\xfen\x00a\x00m\x00e\x00:\x00 \x00x\x00\n\x00",
    ),
    Bad(
        "a file that breaks a rule, and an override that does not",
        "x.yaml:5 training.epochs: must be greater than or equal to 1, but got 0",
        sets=("seed=3",),
        yaml="name: x\ndata:\n  source: {kind: generated}\ntraining:\n  epochs: 0\n",
    ),
    Bad(
        "minutes in base sixty",
        "x.yaml:4 seed: must be a whole number, but got '1:30'",
        yaml="name: x\ndata:\n  source: {kind: generated}\nseed: 1:30\n",
    ),
    Bad(
        "a list as a key",
        "x.yaml:1: not valid YAML: found unhashable key -- correct the syntax; `rnnlane schema` lists the keys",
        yaml="? [a, b]\n: c\n",
    ),
    Bad(
        "several mistakes",
        "x.yaml:1 nme: unknown key `nme` -- did you mean `name`?\n"
        "error: x.yaml:2 data.val: must be less than 1, but got 2\n"
        "error: x.yaml:4 model: dropout acts between layers and needs num_layers >= 2, but got (dropout=0.5, num_layers=1)\n"
        "error: --set lr=1 lr: unknown key `lr` -- did you mean `training.learning_rate`?\n"
        "error: 4 mistakes",
        sets=("lr=1",),
        yaml="nme: x\ndata: {source: {kind: generated}, val: 2}\nname: x\nmodel: {dropout: 0.5}\n",
    ),
    Bad(
        "several overrides that are none",
        "--set seed: an override must read dotted.key=value, but got 'seed' -- for example --set training.clip.max_norm=1.5\n"
        "error: --set =3: an override must read dotted.key=value, but got '=3' -- for example --set training.clip.max_norm=1.5\n"
        "error: 2 mistakes",
        sets=("seed", "=3"),
    ),
    Bad(
        "files and a store that are not there",
        "text.stop_words: cannot read the stop words 'no.txt': No such file or directory -- give off, english, english_keep_negations or a UTF-8 file\n"
        "error: no.vec: cannot read the word vectors: No such file or directory -- give model.pretrained_vectors the path of a file in GloVe's text format\n"
        "error: tracking.uri: an MLflow store must be a database or a server, but got 'ftp://x/y' -- use sqlite:///path/to/mlflow.db for a file, or the http(s):// address of an MLflow server\n"
        "error: 3 mistakes",
        sets=(
            "text.stop_words=no.txt",
            "model.pretrained_vectors=no.vec",
            "tracking.uri=ftp://x/y",
        ),
    ),
    Bad(
        "early stopping as a switch",
        "--set training.early_stopping=true training.early_stopping: must be a number, but got true -- give the epochs without improvement to wait for, such as 3",
        sets=("training.early_stopping=true",),
    ),
    Bad(
        "stop words as a switch",
        "x.yaml:4 text.stop_words: must be off, english, english_keep_negations or the path of a file, but got 'yes'",
        yaml="name: x\ndata:\n  source: {kind: generated}\ntext: {stop_words: yes}\n",
    ),
    Bad(
        "a store without its kind",
        "--set tracking.uri=localhost:5000 tracking.uri: must begin with the kind of store, such as http:// or sqlite:///, but got 'localhost:5000'; write http://localhost:5000",
        sets=("tracking.uri=localhost:5000",),
    ),
    Bad(
        "a path where nothing is read",
        "--set data.source.path=a.csv data.source.path: a source of kind generated has no key `path` -- kinds imdb, csv, jsonl, parquet and text have; set data.source.kind",
        sets=("data.source.path=a.csv",),
    ),
    Bad(
        "a key by another name",
        "--set training.batch_size=8 training.batch_size: unknown key `batch_size` -- did you mean `global_batch_size`?",
        sets=("training.batch_size=8",),
    ),
    Bad(
        "half a character for a kind",
        "x.yaml:3 data.source.kind: kind must be one of 'imdb', 'csv', 'jsonl', 'parquet', 'text', 'generated', but got '\\ud800'",
        yaml='name: x\ndata:\n  source: {kind: "\\ud800"}\n',
    ),
    Bad(
        "a date as a share",
        "x.yaml:4 data.val: must be a number, but got '2024-01-01'",
        yaml="name: x\ndata:\n  source: {kind: generated}\n  val: 2024-01-01\n",
    ),
)
