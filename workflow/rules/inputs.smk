"""Input functions and paths of the rules, domain by domain in the order of the chain."""

# downloads


def dataset_file(wildcards):
    """Address, size and checksum of a file of a data set."""
    dataset = config["downloads"][wildcards.dataset]
    url = dataset["url"].replace("{file}", wildcards.file)
    return {"url": url, "size": dataset["size"], "checksum": dataset["checksum"]}


# cohort


def clinical_files(wildcards):
    """Files of the config's section `clinical`."""
    clinical = cohort_of(wildcards)["clinical"]
    named = [clinical[key] for key in ("sheet", "survival", "matrix") if key in clinical]
    return [path for paths in named for path in ([paths] if isinstance(paths, str) else paths)]


def institutions_of(wildcards):
    """The user's table of institutions; ours is among the params (`cohort_settings`)."""
    named = cohort_of(wildcards).get("institutions", [])
    return [] if named == OUR_INSTITUTIONS else named


def cohort_settings(wildcards):
    """What of a cohort's entry build_cohort heeds, with the digest of a table that comes with mirrorflow."""
    entry = cohort_of(wildcards)
    settings = {key: entry[key] for key in ("classes", "site", "institutions") if key in entry}
    if settings.get("institutions") == OUR_INSTITUTIONS:
        settings["table"] = resource_digest(TCGA_SITES)
    return settings


# gdc

GDC = f"{STORE}/gdc/{{cohort}}"


def gdc_of(wildcards):
    """The config's section `slides.gdc` of the wildcard's cohort."""
    return cohort_of(wildcards)["slides"]["gdc"]


def made_of_slides(cohort):
    """Folders of what is made from a cohort's slide files: patches of each preset, features of each encoder."""
    encoders = own_encoders(cohort)
    return {
        "patches": [f"{STORE}/slides/{cohort}/{name}" for name in sorted({patching_of(e) for e in encoders})],
        "features": [f"{STORE}/features/{cohort}/{patching_of(e)}/{e}" for e in encoders],
    }


def slide_files(wildcards):
    """Record of the shard's downloads; nothing for slides that are there already."""
    if "gdc" not in cohort_of(wildcards)["slides"]:
        return []
    return f"{STORE}/gdc/{wildcards.cohort}/shards/{wildcards.shard}.tsv"


def shard_that_makes_room(wildcards):
    """Record of the shard that has to be done and deleted before this one is fetched, where slides are not kept."""
    # Not ancient(): Snakemake 9 then overlooks other reasons why the jobs behind it have to run.
    gdc = gdc_of(wildcards)
    before = int(wildcards.shard) - (gdc["ahead"] or len(SHARDS))
    return [] if gdc["keep"] or before < 0 else f"{STORE}/gdc/{wildcards.cohort}/dropped/{before}.tsv"


def all_dropped():
    """Records of the deletion of slides that are not kept."""
    return [
        f"{STORE}/gdc/{cohort}/dropped/{shard}.tsv"
        for cohort in COHORTS
        if own_encoders(cohort) and not config["cohorts"][cohort]["slides"].get("gdc", {}).get("keep", True)
        for shard in SHARDS
    ]


# slides


def has_own_sheet(wildcards):
    """Whether the cohort's sheet of slides is the user's own: then its rows count, not its date."""
    return not cohort_of(wildcards)["slides"]["sheet"].startswith(f"{STORE}/")


def sheet_of(wildcards):
    """The cohort's sheet of slides; one that the workflow itself makes counts by its date."""
    sheet = cohort_of(wildcards)["slides"]["sheet"]
    return ancient(sheet) if has_own_sheet(wildcards) else sheet


def sheet_param(digest):
    """Param: what a sheet of one's own says to a rule, so that only what its rows change runs again."""

    def param(wildcards):
        slides = cohort_of(wildcards)["slides"]
        shard = (int(wildcards.shard), len(SHARDS)) if "shard" in wildcards.keys() else ()
        return digest(slides["sheet"], slides["columns"], *shard) if has_own_sheet(wildcards) else None

    return param


SLIDES = f"{STORE}/slides/{{cohort}}/{{patching}}"


def encoders_seeing(cohort, patching):
    """Encoders of a cohort whose features are made here from this patch preset."""
    return [encoder for encoder in own_encoders(cohort) if patching_of(encoder) == patching]


def ledgers(cohort):
    """Ledgers of a cohort: one for each patch preset its encoders see."""
    return [
        f"{STORE}/slides/{cohort}/{patching}/ledger.tsv"
        for patching in sorted({patching_of(encoder) for encoder in own_encoders(cohort)})
    ]


def all_ledgers():
    """Ledgers of all cohorts."""
    return [path for cohort in COHORTS for path in ledgers(cohort)]


# features

FEATURES = f"{STORE}/features/{{cohort}}/{{patching}}/{{encoder}}"


def encoder_settings(encoder):
    """What decides an encoder's values, its name included; the patch preset is in the path."""
    settings = config["features"]["encoders"][encoder]
    return {
        "name": encoder,
        **{key: value for key, value in settings.items() if key != "patching"},
    }


def feature_shards(wildcards):
    """Status files of the shards when features are made here, patches first; nothing when they were made elsewhere."""
    if is_external(wildcards.cohort, wildcards.encoder):
        return []
    patching = patching_of(wildcards.encoder)
    return expand(
        f"{STORE}/{{where}}/shards/{{shard}}.tsv",
        where=[
            f"slides/{wildcards.cohort}/{patching}",
            f"features/{wildcards.cohort}/{patching}/{wildcards.encoder}",
        ],
        shard=SHARDS,
    )


def feature_folder(wildcards):
    """Where the feature files of a cohort and encoder lie."""
    if is_external(wildcards.cohort, wildcards.encoder):
        return cohort_of(wildcards)["features"][wildcards.encoder]
    return f"{STORE}/features/{wildcards.cohort}/{patching_of(wildcards.encoder)}/{wildcards.encoder}"


# expression

SCOPE = f"{RESULTS}/{{scope}}/{{cohort}}"


def source_of(wildcards):
    """The config's entry of an expression source."""
    return config["expression"]["sources"][wildcards.source]


GENES = f"{SCOPE}/genes/{{variant}}{{genes}}fold{{fold}}"


def variant_method(wildcards):
    """The method whose own genes are chosen; None: those of the run."""
    return wildcards.variant.rstrip("/") or None


def genes_of(scope, cohort, method, prefix):
    """Gene manifests of the folds that a method sees (None: the run's); ``prefix``: of k-shot settings or inner folds."""
    folder = f"{RESULTS}/{scope}/{cohort}/genes/{gene_variant(config, method)}"
    return [f"{folder}{prefix}fold{fold}.tsv" for fold in FOLDS]


def selection_settings(wildcards):
    """What chooses the genes of a model scope; those of the k-shot settings are chosen without labels."""
    selection = selection_of(config, variant_method(wildcards))
    if wildcards.genes == "few-shot-":
        label_free = {key: value for key, value in selection.items() if key not in ("rfe", "gene_sets")}
        selection = {**label_free, "method": "variance"}
    return {
        **selection,
        "tumour_types": cohort_of(wildcards)["tumour_types"],
        "scaling": scope_keys(wildcards.scope)["rna_scaling"],
        "clip": config["expression"]["clip"],
    }


def genes_of_first_fold(wildcards):
    """Manifest of the first fold, which the other folds take over where one choice on the whole cohort serves all."""
    of_cohort = not wildcards.genes and scope_keys(wildcards.scope)["gene_selection"] == "cohort"
    if not of_cohort or int(wildcards.fold) == FOLDS[0]:
        return []
    here = {key: getattr(wildcards, key) for key in ("scope", "cohort", "variant", "genes")}
    return f"{GENES}.tsv".format(**here, fold=FOLDS[0])


# splits


def split_folder(wildcards):
    """Folder of split files when the model scope reads its folds, else nothing."""
    return split_source(cohort_of(wildcards), scope_keys(wildcards.scope)["splits"])


def split_files(wildcards):
    """The split files a model scope reads."""
    folder = split_folder(wildcards)
    return [f"{folder}/splits_{fold}.csv" for fold in FOLDS] if folder else []


SPLITS = f"{SCOPE}/splits"
INNER = [f"inner{number}-" for number in range(config["splits"]["inner_folds"])]


def inner_of(genes):
    """``inner<j>-`` where genes and models are those of an inner fold, else nothing: its split files begin so, too."""
    return genes if genes.startswith("inner") else ""


def fitted_splits(wildcards):
    """Split files whose training patients genes and models are fitted on: of one fold, or of every fold of a job."""
    folder = SPLITS.format(scope=wildcards.scope, cohort=wildcards.cohort)
    folds = [wildcards.fold] if "fold" in wildcards.keys() else FOLDS
    paths = [f"{folder}/{inner_of(wildcards.genes)}splits_{fold}.csv" for fold in folds]
    return paths[0] if "fold" in wildcards.keys() else paths


def fitted_genes(wildcards):
    """Gene manifests of a pretrained method: of one fold, or of every fold of a job."""
    paths = genes_of(wildcards.scope, wildcards.cohort, wildcards.method, wildcards.genes)
    return paths[int(wildcards.fold)] if "fold" in wildcards.keys() else paths


# pretrain

MODEL = f"{SCOPE}/models/{{encoder}}/{{method}}/seed{{seed}}/{{genes}}fold{{fold}}"
EMBEDDINGS = f"{SCOPE}/embeddings/{{encoder}}/{{method}}/seed{{seed}}/{{mode}}"


def model_records(cohort, scope, method, encoder, seeds=None, prefix=""):
    """Records of a method's pretrained models, of all folds; ``prefix``: of k-shot settings or of an inner fold."""
    where = {"cohort": cohort, "scope": scope, "method": method, "encoder": encoder, "genes": prefix}
    return expand(f"{MODEL}/done.json", **where, seed=seeds or config["seeds"], fold=FOLDS)


def of_folds(pattern):
    """Paths of the folds that one job serves: its own fold's, or every fold's where they share a GPU."""
    if config["compute"]["gpu_share"] == 1:
        return pattern
    return expand(pattern, fold=FOLDS, allow_missing=True)


def embed_settings(wildcards):
    """How units are embedded: the published probe draws their patches anew in each of its epochs."""
    resampled = wildcards.mode == "resampled_dropout"
    return {"mode": wildcards.mode, "draws": config["probe"]["epochs"] if resampled else config["embed"]["draws"]}


def family_of(wildcards):
    """The method's family: mirror for `mirror--alignment`."""
    return config["methods"][wildcards.method]["family"]


# probe

PREDICTIONS = f"{RESULTS}/predictions/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}"


def scope_file(pattern):
    """Input function: a file of the protocol's scope."""
    return lambda wildcards: pattern.format(
        scope=scope_of(protocol_of(wildcards)),
        cohort=home_of(wildcards.cohort),
        encoder=getattr(wildcards, "encoder", ""),
        method=getattr(wildcards, "method", ""),
    )


def scope_splits(wildcards, prefix=""):
    """Split files of the protocol's model scope; ``prefix`` picks those of an inner fold."""
    scope = scope_of(protocol_of(wildcards))
    return [f"{RESULTS}/{scope}/{home_of(wildcards.cohort)}/splits/{prefix}splits_{fold}.csv" for fold in FOLDS]


def scope_genes(wildcards, prefix=""):
    """Gene manifests of the protocol's model scope, the method's own where it has such; ``prefix`` as :func:`genes_of`."""
    scope, method = scope_of(protocol_of(wildcards)), getattr(wildcards, "method", None)
    return genes_of(scope, home_of(wildcards.cohort), method, prefix)


def few_shot_genes(wildcards):
    """Gene manifests of the k-shot settings, where the protocol gives them genes of their own."""
    prefix = few_shot_prefix(config, wildcards.protocol, getattr(wildcards, "method", None))
    return scope_genes(wildcards, prefix) if prefix else []


def of_inner_folds(paths):
    """Input function: ``paths(wildcards, prefix)`` of each inner fold on which the protocol chooses its epoch."""
    return lambda wildcards: [
        path for prefix in inner_prefixes(config, protocol_of(wildcards)) for path in paths(wildcards, prefix)
    ]


def used_inner_splits(wildcards):
    """Split files of the inner folds, where a method of the run has epochs."""
    return of_inner_folds(scope_splits)(wildcards) if PRETRAINED or SUPERVISED else []


def used_inner_genes(wildcards):
    """Gene manifests of the inner folds, where a method with epochs sees the selected genes."""
    names = [name for name in PRETRAINED + SUPERVISED if sees_genes(name) and name not in OWN_GENES]
    return of_inner_folds(scope_genes)(wildcards) if names else []


def own_genes(wildcards):
    """Gene manifests of the methods that have a selection of their own, whatever they are made for."""
    return [
        path
        for method in methods_under(config, wildcards.protocol)
        if method in OWN_GENES and encoders_of(config, wildcards.cohort, method)
        for prefix in prefixes_of(config, wildcards.protocol, method)
        for path in genes_of(scope_of(protocol_of(wildcards)), wildcards.cohort, method, prefix)
    ]


def scope_models(wildcards):
    """Records of the pretrained models of the protocol's model scope, those of k-shot settings and inner folds among them."""
    cohort, scope = wildcards.cohort, scope_of(protocol_of(wildcards))
    return [
        record
        for method in methods_under(config, wildcards.protocol)
        if method in PRETRAINED
        for prefix in prefixes_of(config, wildcards.protocol, method)
        for encoder in encoders_of(config, cohort, method)
        for record in model_records(cohort, scope, method, encoder, prefix=prefix)
    ]


def embedding_records(wildcards, prefix="", mode=None):
    """One record per seed; ``prefix`` picks the models of the k-shot settings or of an inner fold.

    ``mode``: how units were embedded; by default as the protocol's probe wants them.
    """
    protocol = protocol_of(wildcards)
    return expand(
        f"{EMBEDDINGS}/{prefix}done.json",
        scope=scope_of(protocol),
        cohort=wildcards.cohort,
        encoder=wildcards.encoder,
        method=wildcards.method,
        mode=mode or protocol["probe_features"],
        seed=config["seeds"],
    )


def few_shot_embeddings(wildcards):
    """Records of the embeddings that the k-shot settings use, where they have genes of their own."""
    prefix = few_shot_prefix(config, wildcards.protocol, wildcards.method)
    return embedding_records(wildcards, prefix) if prefix else []


def tasks_of(wildcards):
    """Tasks of the run that the method takes part in."""
    return [task for task in config["evaluation"]["tasks"] if task in config["methods"][wildcards.method]["tasks"]]


def saved_models(wildcards):
    """Param: where a job's trained models go, and which are kept."""
    names = {name: wildcards[name] for name in ("cohort", "encoder", "method")}
    return {"results": RESULTS, "keep": config["keep_models"], **names}


# baselines, supervised


def method_settings(wildcards):
    """What decides a method's values: not where it is run, nor what chooses its genes (they are an input)."""
    elsewhere = ("cohorts", "encoders", "selection")
    return {key: value for key, value in config["methods"][wildcards.method].items() if key not in elsewhere}


def pooled_index(wildcards):
    """The index of the encoder's features, for methods that see slides."""
    if "slides" not in config["methods"][wildcards.method]["inputs"]:
        return []
    return f"{RESULTS}/features/{wildcards.cohort}/{wildcards.encoder}.tsv"


def gene_set_file(wildcards):
    """The method's file of gene sets, if it reads one."""
    sets = config["methods"][wildcards.method].get("gene_sets", "random")
    return [] if sets == "random" else sets


def sees_genes(name):
    """Whether a method sees RNA, and of it the genes selected (not those of gene sets in a file)."""
    method = config["methods"][name]
    return "rna" in method["inputs"] and method.get("gene_sets", "random") == "random"


def gene_inputs(wildcards, prefix=""):
    """Gene manifests, for methods that see the selected genes; ``prefix`` picks those of an inner fold."""
    return scope_genes(wildcards, prefix) if sees_genes(wildcards.method) else []


def few_shot_gene_inputs(wildcards):
    """Gene manifests of the k-shot settings, for methods that see the selected genes."""
    return few_shot_genes(wildcards) if sees_genes(wildcards.method) else []


def manifests(protocols, cohorts):
    """Manifests of every method, with every encoder it is run with."""
    return [
        f"{RESULTS}/predictions/{protocol}/{cohort}/{encoder}/{method}/manifest.json"
        for protocol in protocols
        for cohort in cohorts
        for method in methods_under(config, protocol)
        if set(config["methods"][method]["tasks"]) & set(config["evaluation"]["tasks"])
        for encoder in encoders_of(config, cohort, method)
    ]


# adapt: the wildcard `cohort` is a pair, <target>--from--<source>


def cohort_file(wildcards):
    """The cohort's patients; of a pair the target's."""
    return f"{RESULTS}/cohort/{home_of(wildcards.cohort)}.parquet"


def target_index(wildcards):
    """Index of the target's features."""
    return f"{RESULTS}/features/{home_of(wildcards.cohort)}/{wildcards.encoder}.tsv"


def source_models(wildcards):
    """Records of the source's models of one encoder and method, of one seed or, under a protocol, of all seeds."""
    one_seed = "seed" in wildcards.keys()
    scope = wildcards.scope if one_seed else scope_of(protocol_of(wildcards))
    seeds = [wildcards.seed] if one_seed else None
    return model_records(ADAPTED[wildcards.cohort]["source"], scope, wildcards.method, wildcards.encoder, seeds)


def adapt_settings(wildcards):
    """The method's family, and how a pair's new RNA embedding is trained."""
    pair = ADAPTED[wildcards.cohort]
    trained = {key: pair[key] for key in ("embedding_learning_rate", "embedding_weight_decay")}
    return {"family": family_of(wildcards), "adapt": trained}


def manifests_of(protocol, cohort):
    """Manifests of a protocol and cohort, which may be a pair."""
    if cohort not in ADAPTED:
        return manifests([protocol], [cohort])
    pair = ADAPTED[cohort]
    return [
        f"{RESULTS}/predictions/{protocol}/{cohort}/{encoder}/{method}/manifest.json"
        for method in pair["methods"]
        if set(config["methods"][method]["tasks"]) & set(config["evaluation"]["tasks"])
        for encoder in pair["encoders"]
    ]


def own_manifests(wildcards):
    """Manifests of the wildcards' protocol and cohort, which may be a pair."""
    return manifests_of(wildcards.protocol, wildcards.cohort)


def targets_reference(wildcards):
    """Manifests of the reference on a pair's target, which the pair's methods are held against; else nothing."""
    reference, target = config["evaluation"]["reference"], home_of(wildcards.cohort)
    if wildcards.cohort not in ADAPTED or reference not in config["methods"]:
        return []
    return [
        f"{RESULTS}/predictions/{wildcards.protocol}/{target}/{encoder}/{reference}/manifest.json"
        for encoder in encoders_of(config, target, reference)
    ]


def unless_pair(function):
    """Input function for files that a pair has none of: k-shot settings, models of its own."""
    return lambda wildcards: [] if wildcards.cohort in ADAPTED else function(wildcards)


def of_source(pattern):
    """Input function: a pair's files of its source, of the protocol's model scope, a fold each; nothing for other cohorts."""

    def files(wildcards):
        if wildcards.cohort not in ADAPTED:
            return []
        where = {"scope": scope_of(protocol_of(wildcards)), "cohort": ADAPTED[wildcards.cohort]["source"]}
        return [pattern.format(fold=fold, **where) for fold in FOLDS]

    return files


def source_cohort(wildcards):
    """Patients of a pair's source; nothing for other cohorts."""
    return f"{RESULTS}/cohort/{ADAPTED[wildcards.cohort]['source']}.parquet" if wildcards.cohort in ADAPTED else []


def audited_source_models(wildcards):
    """Records of the source's models behind all predictions of a pair; nothing for other cohorts."""
    if wildcards.cohort not in ADAPTED:
        return []
    pair = ADAPTED[wildcards.cohort]
    return [
        record
        for method in pair["methods"]
        for encoder in pair["encoders"]
        for record in model_records(pair["source"], scope_of(protocol_of(wildcards)), method, encoder)
    ]


# tables


def optimism_protocols():
    """The base, each habit by itself, and all habits together; nothing without an optimism table."""
    optimism = config["evaluation"]["optimism"]
    return [optimism["base"], *SINGLE_CHANGES, optimism["against"]] if optimism else []


FURTHER = wanted_tables(
    list(config["methods"]), EVERY_COHORT, config["evaluation"]["shots"], config["evaluation"]["tasks"]
)


def further_tables():
    """Tables beyond the main ones that this run has rows for, each in its three forms."""
    names = [*FURTHER, *(["optimism"] if config["evaluation"]["optimism"] else [])]
    return expand(f"{RESULTS}/tables/{{name}}.{{ending}}", name=names, ending=["csv", "md", "tex"])


# figures

SURVIVAL_CURVES_OF = (*PRETRAINED_FAMILIES, "cox")


def curve_manifests(wildcards):
    """Manifests of the methods whose risk groups are drawn: the pretrained ones and the Cox model."""
    if "survival" not in config["evaluation"]["tasks"]:
        return []
    chosen = [
        name
        for name, method in config["methods"].items()
        if method["family"] in SURVIVAL_CURVES_OF and "survival" in method["tasks"]
    ]
    return [
        manifest
        for protocol, cohort in evaluated()
        if cohort == wildcards.cohort and protocol not in SINGLE_CHANGES
        for manifest in manifests_of(protocol, cohort)
        if Path(manifest).parent.name in chosen
    ]


def cohort_models(cohort):
    """Records of every pretrained model of a cohort, those of k-shot settings and inner folds apart."""
    bases = {
        (scope_of(protocol), m) for name, protocol in config["protocols"].items() for m in methods_under(config, name)
    }
    return [
        record
        for scope, method in sorted(bases)
        if method in PRETRAINED
        for encoder in encoders_of(config, cohort, method)
        for record in model_records(cohort, scope, method, encoder)
    ]


# sensitivity

SENSITIVITY = f"{RESULTS}/sensitivity/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}"


def frozen_embeddings(wildcards):
    """Records of the frozen embeddings of the protocol's model scope, one per seed, also where its probe draws anew."""
    return embedding_records(wildcards, mode="frozen")


def frozen_models(wildcards):
    """Records of the pretrained models behind them: seed by seed, fold by fold."""
    scope = scope_of(protocol_of(wildcards))
    return model_records(wildcards.cohort, scope, wildcards.method, wildcards.encoder)


def pretrained_cases():
    """Every pretrained method under every protocol, cohort and encoder; habits of the optimism table apart."""
    return [
        {"protocol": protocol, "cohort": cohort, "encoder": encoder, "method": method}
        for protocol in PROTOCOLS
        if protocol not in SINGLE_CHANGES
        for cohort in COHORTS
        for method in PRETRAINED
        for encoder in encoders_of(config, cohort, method)
    ]


# training_folds

TRAINING_FOLDS = f"{RESULTS}/training_folds/{{protocol}}/{{cohort}}/{{encoder}}/{{method}}"


def training_folds_cases():
    """The pretrained methods whose survival probes the run has."""
    if "survival" not in config["evaluation"]["tasks"]:
        return []
    return [case for case in pretrained_cases() if "survival" in config["methods"][case["method"]]["tasks"]]
