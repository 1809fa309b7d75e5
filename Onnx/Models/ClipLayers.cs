namespace Microsoft.ML.Attention.Onnx.Models;

/// <summary>The layers of CLIP's transformers, which its encoders of texts and of pictures share.</summary>
/// <param name="HeadCount">The number of heads of the attention.</param>
/// <param name="IntermediateSize">The number of channels within the feed-forward layer.</param>
/// <param name="Activation"><c>quick_gelu</c> or <c>gelu</c>.</param>
/// <param name="Epsilon">What keeps normalisations from dividing by zero.</param>
internal sealed record ClipLayers(int HeadCount, int IntermediateSize, string Activation, float Epsilon)
{
    public const string QuickGelu = "quick_gelu";
    public const string Gelu = "gelu";

    /// <summary>One layer, [N, T, width] to the same; the mask is added to the scores.</summary>
    public Value Apply(Value tokens, Parameters parameters, Value? mask = null)
    {
        using var scope = parameters.Scope();
        tokens += Attention(Norm("layer_norm1"), parameters["self_attn"], mask);
        return tokens + Mlp(Norm("layer_norm2"), parameters["mlp"]);

        Value Norm(string name) => tokens.LayerNorm(parameters[name], Epsilon);
    }

    private Value Attention(Value tokens, Parameters parameters, Value? mask)
    {
        using var scope = parameters.Scope();
        var width = tokens.Shape[2].Value;
        return Ops.MultiHeadAttention.Apply(Project("q_proj"), Project("k_proj"), Project("v_proj"), HeadCount, mask)
            .Dense(parameters["out_proj"], width);

        Value Project(string name) => tokens.Dense(parameters[name], width);
    }

    private Value Mlp(Value tokens, Parameters parameters)
    {
        using var scope = parameters.Scope();
        var hidden = tokens.Dense(parameters["fc1"], IntermediateSize);
        hidden = Activation == Gelu ? hidden.Gelu() : hidden * (hidden * 1.702).Apply("Sigmoid");
        return hidden.Dense(parameters["fc2"], tokens.Shape[2].Value);
    }
}
