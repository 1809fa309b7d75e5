namespace Microsoft.ML.Attention.Onnx.Weights.KeyLayouts;

/// <summary>The names of an older diffusers for Stable Diffusion's autoencoder.</summary>
internal static class AutoencoderKlLayouts
{
    public static KeyLayout Diffusers { get; } = new("diffusers' AutoencoderKL before 0.18", @"^(encoder|decoder)\.mid_block\.attentions\.0\.proj_attn\.weight$",
    [
        (@"\.attentions\.0\.query\.", ".attentions.0.to_q."),
        (@"\.attentions\.0\.key\.", ".attentions.0.to_k."),
        (@"\.attentions\.0\.value\.", ".attentions.0.to_v."),
        (@"\.attentions\.0\.proj_attn\.", ".attentions.0.to_out.0."),
    ]);
}
