namespace Microsoft.ML.Attention.Onnx.Weights.KeyLayouts;

/// <summary>TNT in timm (huggingface/pytorch-image-models, <c>timm/models/tnt.py</c>).</summary>
internal static class TntLayouts
{
    private static readonly (string, string)[] Renames =
    [
        (@"^pixel_pos$", "inner_pos"),
        (@"^patch_pos$", "outer_pos"),
        (@"^pixel_embed\.", "patch_embed."),
        (@"^norm1_proj\.", "proj_norm1."),
        (@"^norm2_proj\.", "proj_norm2."),
        (@"^(blocks\.\d+)\.norm_in\.", "$1.inner_norm1."),
        (@"^(blocks\.\d+)\.attn_in\.", "$1.inner_attn."),
        (@"^(blocks\.\d+)\.norm_mlp_in\.", "$1.inner_norm2."),
        (@"^(blocks\.\d+)\.mlp_in\.", "$1.inner_mlp."),
        (@"^(blocks\.\d+)\.norm1_proj\.", "$1.proj_norm1."),
        (@"^(blocks\.\d+)\.norm2_proj\.", "$1.proj_norm2."),
        (@"^(blocks\.\d+)\.norm_out\.", "$1.outer_norm1."),
        (@"^(blocks\.\d+)\.attn_out\.", "$1.outer_attn."),
        (@"^(blocks\.\d+)\.norm_mlp\.", "$1.outer_norm2."),
        (@"^(blocks\.\d+)\.mlp\.", "$1.outer_mlp."),
    ];

    /// <summary><c>tnt_s_patch16_224</c> and <c>tnt_b_patch16_224</c> since timm 1.0.15.</summary>
    public static KeyLayout Timm { get; } = new("timm's TNT", @"^blocks\.\d+\.norm2_proj\.", Renames)
    {
        Convert = (name, tensor) => name == "inner_pos" ? WordsByChannels(tensor) : tensor,
    };

    /// <summary><c>tnt_s_legacy_patch16_224</c>, which was <c>tnt_s_patch16_224</c> before.</summary>
    public static KeyLayout TimmLegacy { get; } = new("timm's legacy TNT", @"^blocks\.\d+\.norm_in\.", Renames)
    {
        Obstacle = "it computes another function than the published TNT: it cuts words across the borders of the patches and folds them "
            + "without the second normalisation. Take timm's tnt_s_patch16_224 or the authors' tnt_s_81.5.pth.tar",
    };

    // [1, C, h, w] to [1, h w, C]
    private static Tensor WordsByChannels(Tensor position) => position.Dims is [1, var channels, var height, var width]
        ? position.Reshape(1, channels, height * width).Transpose(0, 2, 1)
        : position;
}
