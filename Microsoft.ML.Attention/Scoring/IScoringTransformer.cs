namespace Microsoft.ML.Attention;

/// <summary>A transformer that runs ONNX models but is not made of one: <see cref="OnnxTransformerBase"/> is for those.</summary>
internal interface IScoringTransformer : ITransformer
{
    /// <summary>How the models are run.</summary>
    ScoringOptions Scoring { get; }

    /// <summary>The same models, run in another way.</summary>
    ITransformer WithScoring(ScoringOptions scoring);
}
