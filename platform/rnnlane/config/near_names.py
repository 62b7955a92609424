"""Which key somebody means by a name that is none: by its letters, or by its meaning elsewhere."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence

# Keys of earlier versions, and their present names.
RENAMED = {"training.clip.trial_steps": "training.clip.calibration_steps"}

# What other libraries and people call a key; without separators and capitals.
_SYNONYMS = {
    "seed": "randomstate randomseed rngseed",
    "data.source.path": "path paths file filename files filepath folder datapath datafile dataset "
    "csv jsonl parquet url uri input trainfile trainpath",
    "data.source.test_path": "testfile testpath testdata",
    "data.source.delimiter": "sep separator delim fieldseparator",
    "data.source.encoding": "charset codec",
    "data.columns.text": "textcolumn textcol textfield x",
    "data.columns.label": "labelcolumn labelcol labelfield targetcolumn target y",
    "data.columns.id": "idcolumn idcol",
    "data.columns.group": "groups groupby groupcolumn groupcol groupfield groupid",
    "data.classes": "labels classnames labelnames categories",
    "data.test": "testsize testshare testsplit testfraction testratio",
    "data.val": "valsize valshare valsplit valfraction validation validationsplit "
    "validationsize validationfraction devsize dev",
    "text.max_length": "maxlen maxseqlen maxseqlength maxsequencelength seqlen sequencelength "
    "maxtokens numtokens truncate",
    "text.lowercase": "lower dolowercase dolower casefold uncased",
    "text.stop_words": "stopwordlist removestopwords",
    "text.strip_html": "removehtml striptags cleanhtml",
    "text.vocabulary": "vocab",
    "text.vocabulary.max_size": "vocabsize vocabularysize maxvocab maxvocabsize maxfeatures "
    "maxwords numwords",
    "text.vocabulary.min_count": "minfreq minfrequency mindf mincounts",
    "model.cell": "rnn rnntype celltype encoder architecture arch unit modeltype",
    "model.embedding_dim": "embedding embeddings embed embeddim embdim embeddingsize embedsize "
    "dmodel",
    "model.hidden_size": "hidden hiddendim hiddenunits hiddens units rnnsize dhidden nhidden",
    "model.num_layers": "layers nlayers numlayer nlayer depth rnnlayers",
    "model.bidirectional": "bidir bi isbidirectional",
    "model.pretrained_vectors": "vectors wordvectors glove pretrained embeddingfile "
    "pretrainedembeddings",
    "training.epochs": "epoch numepochs nepochs maxepoch numtrainepochs iterations",
    "training.seeds": "numseeds nseeds seedlist replicates numruns nruns",
    "training.learning_rate": "lr learningrates eta stepsize initiallr",
    "training.global_batch_size": "batchsize batch bs trainbatchsize perdevicetrainbatchsize",
    "training.layer_rate_decay": "discriminativerates discriminativelr layerwiselrdecay llrd "
    "layerdecay layerlrdecay",
    "training.gradual_unfreezing": "unfreeze gradualunfreeze freeze unfreezing",
    "training.optimizer": "optim optimiser opt",
    "training.weight_decay": "wd l2 decay regularization",
    "training.early_stopping": "earlystop earlystoppingpatience stopafter",
    "training.class_weights": "classweight weights sampleweights",
    "training.schedule": "lrschedule lrscheduler learningrateschedule",
    "training.schedule.warmup_steps": "warmup numwarmupsteps",
    "training.clip": "clipping gradientclipping gradclip",
    "training.clip.max_norm": "clipnorm clipvalue clipgradnorm maxgradnorm gradientclipval "
    "clipthreshold",
    "training.label_smoothing": "labelsmooth labelsmoothingfactor smoothing",
    "training.adversarial": "adversarialtraining virtualadversarial vat adv adversary",
    "training.ema": "emadecay exponentialmovingaverage useema weightaverage averagedecay",
    "training.refit": "retrain retrainonall fitonall trainonval",
    "training.precision": "fp16 bf16 amp mixedprecision dtype",
    "runtime.num_workers": "workers nworkers worldsize numprocesses nproc numgpus gpus ddpworkers",
    "runtime.device": "accelerator gpu cuda usegpu usecuda",
    "runtime.storage_path": "storage outputdir outputpath storagedir checkpointdir checkpointpath "
    "savedir logdir",
    "tracking.uri": "trackinguri mlflowuri mlflowtrackinguri mlflow",
    "tracking.mlflow_experiment": "experiment experimentname project",
    "search.num_trials": "trials ntrials numsamples maxtrials",
    "search.time_budget_s": "timeout timebudget timelimit",
    "search.algorithm": "algo sampler searchalgorithm searchalg",
    "search.scheduler": "pruner",
    "search.space": "params parameters searchspace grid hyperparameters",
    "sample_text": "sample sampletexts example",
}
_MEANT = {name: key for key, names in _SYNONYMS.items() for name in names.split()}
_SURE, _SIMILAR = 0.8, 0.5
_MOST_SHOWN = 3
# Few experiments have these, and what they are called is elsewhere too.
_OF_PRETRAINING = ("pretraining.", "data.unlabeled.")


def meant_keys(
    name: str, *, section: str, beside: Sequence[str], keys: Collection[str]
) -> list[str]:
    """The dotted keys that a name may stand for, the likeliest alone where one is likely.

    Args:
        name: that is no key where it stands.
        section: where it stands, dotted; empty at the top.
        beside: the keys of that section.
        keys: all dotted keys of an experiment.
    """

    def here(key: str) -> str:
        return f"{section}.{key}" if section else key

    if sure := difflib.get_close_matches(name, beside, n=1, cutoff=_SURE):
        return [here(sure[0])]
    plain = re.sub(r"[\W_]+", "", name).lower()
    if plain in _MEANT:
        return [_MEANT[plain]]
    same = [key for key in keys if re.sub(r"_", "", key.rpartition(".")[2]) == plain]
    if same:
        usual = [key for key in same if not key.startswith(_OF_PRETRAINING)]
        return (usual or same)[:_MOST_SHOWN]
    near = difflib.get_close_matches(name, beside, n=1, cutoff=_SIMILAR)
    return [here(key) for key in near]
