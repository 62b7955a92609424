"""Arguments and environments that a command refuses."""

from bad_inputs.row import Bad

COMMANDS = (
    Bad(
        "an unknown verb",
        "command line: No such command 'trian'. Did you mean 'train', 'pretrain'? -- see `rnnlane --help`",
        args=("trian", "x.yaml"),
    ),
    Bad(
        "an unknown option",
        "command line: No such option: --sett (Possible options: --set) -- see `rnnlane --help`",
        args=("validate", "x.yaml", "--sett", "a=b"),
    ),
    Bad(
        "no experiment",
        "command line: Missing argument 'EXPERIMENT' -- see `rnnlane --help`",
        args=("validate",),
    ),
    Bad(
        "an experiment too many",
        "command line: Got unexpected extra argument(s) (y.yaml) -- see `rnnlane --help`",
        args=("validate", "x.yaml", "y.yaml"),
    ),
    Bad(
        "a missing experiment",
        "y.yaml: cannot read the experiment: No such file or directory -- give the path of a YAML file, such as experiments/demo.yaml",
        args=("validate", "y.yaml"),
    ),
    Bad(
        "a folder",
        ".: cannot read the experiment: Is a directory -- give the path of a YAML file, such as experiments/demo.yaml",
        args=("validate", "."),
    ),
    Bad(
        "a file without an end",
        "/dev/zero: an experiment must have at most 1,000,000 bytes, but this file has more -- give the path of a YAML file, such as experiments/demo.yaml",
        args=("validate", "/dev/zero"),
    ),
    Bad(
        "an option without its value",
        "command line: Option '--set' requires an argument -- see `rnnlane --help`",
        args=("validate", "x.yaml", "--set"),
    ),
    Bad(
        "an unknown split",
        "command line: --split must be one of 'train', 'val', 'test', but got 'tets' -- see `rnnlane --help`",
        args=("evaluate", "--split", "tets"),
    ),
    Bad(
        "an unknown device",
        "command line: --device must be one of 'auto', 'cpu', 'gpu', but got 'cuda' -- see `rnnlane --help`",
        args=("evaluate", "--device", "cuda"),
    ),
    Bad(
        "a comparison of one run",
        "runs: a comparison needs two runs or more, but got one -- `rnnlane runs` lists them",
        args=("compare", "latest"),
    ),
    Bad(
        "an ensemble of one run",
        "runs: an ensemble needs two runs or more, but got one -- `rnnlane runs` lists them",
        args=("ensemble", "latest"),
    ),
    Bad(
        "weights of another kind",
        "command line: --weights must be one of 'val', 'mean', but got 'test' -- see `rnnlane --help`",
        args=("ensemble", "a", "b", "--weights", "test"),
    ),
    Bad(
        "a name that MLflow cannot address",
        "--name: the name of a registered model must have 1 to 256 characters, none of which is /, :, ? or a control character, but got 'a/b' -- for example: --name reviews",
        args=("promote", "latest", "--name", "a/b"),
    ),
    Bad(
        "an alias that MLflow keeps for itself",
        "--alias: an alias must not be `latest` or v and a number, which MLflow gives a meaning, but got 'v2' -- for example: --alias champion",
        args=("promote", "latest", "--name", "a", "--alias", "v2"),
    ),
    Bad(
        "a picture of another kind",
        "--plot: a picture is written to a file, and it must be a .png, but got 'x.jpg' -- give a name such as compared.png",
        args=("compare", "a", "b", "--plot", "x.jpg"),
    ),
    Bad(
        "a limit of zero",
        "command line: --limit must be a whole number from 1, but got '0' -- see `rnnlane --help`",
        args=("runs", "--limit", "0"),
    ),
    Bad(
        "a limit in words",
        "command line: --limit must be a whole number from 1, but got 'ten' -- see `rnnlane --help`",
        args=("runs", "--limit", "ten"),
    ),
    Bad(
        "workers in words",
        "command line: --workers must be a whole number from 0, but got 'two' -- see `rnnlane --help`",
        args=("train", "x.yaml", "--workers", "two"),
    ),
    Bad(
        "fewer than no workers",
        "command line: --workers must be a whole number from 0, but got '-1' -- see `rnnlane --help`",
        args=("train", "x.yaml", "--workers", "-1"),
    ),
    Bad(
        "a port that is none",
        "command line: --port must be a whole number from 1 to 65535, but got '99999' -- see `rnnlane --help`",
        args=("ui", "--port", "99999"),
    ),
    Bad(
        "a search without a space",
        "search: a search needs a `search` section, but the experiment has none -- say what may vary; experiments/search-quick.yaml is an example",
        args=("tune", "x.yaml"),
    ),
    Bad(
        "a text that looks like an option",
        'command line: No such option: -1 -- see `rnnlane --help`; a text that begins with a dash comes after --: rnnlane predict -- "-1 of 10"',
        args=("predict", "-10/10 a waste of time"),
    ),
    Bad(
        "no text",
        'empty.txt: at least one text is needed, but got none -- for example: rnnlane predict "A film to remember."',
        args=("predict", "--file", "empty.txt"),
        files={"empty.txt": ""},
    ),
    Bad(
        "no such file of texts",
        "no.txt: cannot read the texts: No such file or directory -- give the path of a file; a text that begins with a dash comes after --",
        args=("predict", "--file", "no.txt"),
    ),
    Bad(
        "no such run",
        "sqlite:///{dir}/home/mlflow.db: a run must exist to be used, but the store is empty (got 'nobody') -- train one first, or set tracking.uri to the store that holds it",
        args=("predict", "--run", "nobody", "a text"),
    ),
    Bad(
        "no run yet",
        "sqlite:///{dir}/home/mlflow.db: a run must exist to be used, but the store is empty (got 'latest') -- train one first, or set tracking.uri to the store that holds it",
        args=("evaluate",),
    ),
    Bad(
        "no run yet to predict with",
        "sqlite:///{dir}/home/mlflow.db: a run must exist to be used, but the store is empty (got 'latest') -- train one first, or set tracking.uri to the store that holds it",
        args=("predict", "a text"),
    ),
    Bad(
        "an unknown verb of jobs",
        "command line: No such command 'lst'. Did you mean 'list'? -- see `rnnlane --help`",
        args=("jobs", "lst"),
    ),
    Bad(
        "a submission to nobody",
        "http://127.0.0.1:9: the cluster does not answer: Failed to connect to Ray at address: http://127.0.0.1:9. -- check the address, and that the cluster's dashboard runs",
        args=("submit", "x.yaml", "--address", "http://127.0.0.1:9"),
        code=1,
    ),
    Bad(
        "a submission without an address",
        "--address: jobs go to the address of a cluster's dashboard, http://HOST:8265, but got 'none' -- give --address http://HOST:8265, or set RAY_ADDRESS to it",
        args=("submit", "x.yaml"),
    ),
    Bad(
        "a submission to no address",
        "--address: jobs go to the address of a cluster's dashboard, http://HOST:8265, but got 'nonsense' -- give --address http://HOST:8265, or set RAY_ADDRESS to it",
        args=("submit", "x.yaml", "--address", "nonsense"),
    ),
    Bad(
        "jobs of nobody",
        "http://127.0.0.1:9: the cluster does not answer: Failed to connect to Ray at address: http://127.0.0.1:9. -- check the address, and that the cluster's dashboard runs",
        args=("jobs", "list", "--address", "http://127.0.0.1:9"),
        code=1,
    ),
    Bad(
        "a store that is no address",
        "tracking.uri: an MLflow store must be a database or a server, but got 'ftp://x/y' -- use sqlite:///path/to/mlflow.db for a file, or the http(s):// address of an MLflow server",
        args=("runs", "--tracking-uri", "ftp://x/y"),
    ),
    Bad(
        "a store where nobody answers",
        "http://127.0.0.1:9: cannot open the MLflow store: Failed to establish a new connection: [Errno 111] Connection refused -- check the address, and that the server runs",
        args=("runs", "--tracking-uri", "http://127.0.0.1:9"),
        code=1,
    ),
    Bad(
        "a Ray where nobody answers",
        "RAY_ADDRESS=127.0.0.1:9: Ray cannot be reached: Connection refused -- start the cluster, or unset RAY_ADDRESS to run on this machine",
        args=("prepare", "x.yaml"),
        env={"RAY_ADDRESS": "127.0.0.1:9"},
        code=1,
    ),
    Bad(
        "a Ray address that is none",
        "RAY_ADDRESS: a driver connects to Ray's own address, HOST:6379, but got 'nonsense' -- run on a node of the cluster with RAY_ADDRESS=HOST:6379 or auto, send experiments from elsewhere by `rnnlane submit --address http://HOST:8265`, or unset RAY_ADDRESS to run here",
        args=("prepare", "x.yaml"),
        env={"RAY_ADDRESS": "nonsense"},
    ),
    Bad(
        "a dashboard for a Ray",
        "RAY_ADDRESS: a driver connects to Ray's own address, HOST:6379, but got 'http://127.0.0.1:8265', the address of a dashboard, which accepts jobs only -- run on a node of the cluster with RAY_ADDRESS=HOST:6379 or auto, send experiments from elsewhere by `rnnlane submit --address http://HOST:8265`, or unset RAY_ADDRESS to run here",
        args=("prepare", "x.yaml"),
        env={"RAY_ADDRESS": "http://127.0.0.1:8265"},
    ),
    Bad(
        "a store in the environment that is none",
        "MLFLOW_TRACKING_URI: an MLflow store must be a database or a server, but got 'nonsense://x' -- use sqlite:///path/to/mlflow.db for a file, or the http(s):// address of an MLflow server",
        args=("runs",),
        env={"MLFLOW_TRACKING_URI": "nonsense://x"},
    ),
    Bad(
        "a home that is a file",
        "RNNLANE_HOME: must be a folder that can be written, but got 'x.yaml': {dir}/x.yaml is not a folder -- set RNNLANE_HOME to another folder, or correct its owner and mode",
        args=("train", "x.yaml"),
        env={"RNNLANE_HOME": "x.yaml"},
    ),
    Bad(
        "a home below a file",
        "RNNLANE_HOME: must be a folder that can be written, but got 'x.yaml/home': {dir}/x.yaml is not a folder -- set RNNLANE_HOME to another folder, or correct its owner and mode",
        args=("prepare", "x.yaml"),
        env={"RNNLANE_HOME": "x.yaml/home"},
    ),
    Bad(
        "no archive of reviews",
        "data.source.path no.tar.gz: no such file or folder -- looked for {dir}/no.tar.gz; the working directory is {dir}",
        args=("prepare", "x.yaml"),
        sets=("data.source={kind: imdb}",),
        env={"RNNLANE_IMDB": "no.tar.gz"},
    ),
    Bad(
        "an archive that is none",
        "{dir}/x.yaml: not a readable tar archive: it begins like no archive -- download or copy it again",
        args=("prepare", "x.yaml"),
        sets=("data.source={kind: imdb}",),
        env={"RNNLANE_IMDB": "x.yaml"},
    ),
    Bad(
        "a storage that is a file",
        "runtime.storage_path: must be a folder that can be written, but got 'x.yaml': {dir}/x.yaml is not a folder -- set runtime.storage_path to another folder, or correct its owner and mode",
        args=("prepare", "x.yaml"),
        sets=("runtime.storage_path=x.yaml",),
    ),
    Bad(
        "a storage of an unknown kind",
        "ftp://host/x/prepared/…: not a location that pyarrow can open: Unrecognized filesystem type in URI: … -- give a local path or a URI such as s3://bucket/folder or file:///folder",
        args=("prepare", "x.yaml"),
        sets=("runtime.storage_path=ftp://host/x",),
    ),
)
