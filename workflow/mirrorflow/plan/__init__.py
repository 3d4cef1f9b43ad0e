"""What Snakemake is told: paths, targets, inputs of rules. Free of torch."""
