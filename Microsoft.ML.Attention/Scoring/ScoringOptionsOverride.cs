using Microsoft.ML.Attention;
using Microsoft.ML.Data;

namespace Microsoft.ML;

/// <summary>Changes how saved or fitted models are run: batch size, bad rows, session. Nothing is trained anew.</summary>
public static class ScoringOptionsOverride
{
    /// <summary>The same model with every ONNX model of this package in it, through chains of chains, run with changed options.</summary>
    /// <param name="model">A transformer or a chain of them. It stays usable, and is to be disposed of by itself.</param>
    /// <param name="change">Gives new options for the present ones; called for each of the ONNX models.</param>
    public static ITransformer WithScoringOptions(this ITransformer model, Func<ScoringOptions, ScoringOptions> change) => model switch
    {
        OnnxTransformerBase onnx => onnx.WithScoring(change(onnx.Scoring)),
        IScoringTransformer other => other.WithScoring(change(other.Scoring)),
        ITransformerChainAccessor chain =>
            new TransformerChain<ITransformer>(chain.Transformers.Select(part => part.WithScoringOptions(change)), chain.Scopes),
        _ => model,
    };
}
