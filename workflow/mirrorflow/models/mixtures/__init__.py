"""Mixtures of Gaussians with diagonal covariances: fitted on a fold's training patches, read off each slide."""
