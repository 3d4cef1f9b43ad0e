"""The attention of the `nystrom-attention` package (pip, version 0.0.14) in the place of ours."""

from nystrom_attention import NystromAttention as PackageAttention
from torch import Tensor, nn

from mirrorflow.models.attention import NystromAttention


class PackageBlock(nn.Module):
    """The package's attention behind the signature of ours, on the same weights."""

    def __init__(self, ours: NystromAttention) -> None:
        super().__init__()
        width = ours.to_out.in_features
        self.theirs = PackageAttention(
            width,
            dim_head=width // ours.heads,
            heads=ours.heads,
            num_landmarks=ours.landmarks,
            dropout=ours.dropout.p,
        )
        self.theirs.load_state_dict(
            {
                "to_qkv.weight": ours.to_qkv.weight,
                "to_out.0.weight": ours.to_out.weight,
                "to_out.0.bias": ours.to_out.bias,
                "res_conv.weight": ours.residual.weight,
            }
        )

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix tokens [batch, token, width]."""
        return self.theirs(tokens, mask=mask)
