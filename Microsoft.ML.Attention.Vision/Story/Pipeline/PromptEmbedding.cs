namespace Microsoft.ML.Attention.Vision;

/// <summary>What text encoders make of a prompt.</summary>
/// <param name="Tokens">One vector a token, [T, D].</param>
/// <param name="TokenCount">The number of tokens T.</param>
/// <param name="Pooled">One vector for the whole, [P]; null for models that want none.</param>
internal sealed record PromptEmbedding(float[] Tokens, int TokenCount, float[]? Pooled);
