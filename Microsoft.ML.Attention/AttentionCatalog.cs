using Microsoft.ML.Attention;
using Microsoft.ML.Data;

namespace Microsoft.ML;

/// <summary>The transforms of Microsoft.ML.Attention in an <see cref="MLContext"/>'s catalogs.</summary>
public static class AttentionCatalog
{
    /// <summary>
    /// Scores an ONNX model in batches; inputs are fed by the columns of their own names, and all outputs are added under theirs.
    /// </summary>
    /// <param name="catalog">The transforms catalog.</param>
    /// <param name="modelFile">The model's file.</param>
    public static OnnxBatchScoringEstimator ScoreOnnx(this TransformsCatalog catalog, string modelFile) =>
        catalog.ScoreOnnx(new OnnxBatchScoringEstimator.Options { ModelFile = modelFile });

    /// <summary>Scores an ONNX model in batches.</summary>
    /// <param name="catalog">The transforms catalog.</param>
    /// <param name="options">The model, the columns and how it is run.</param>
    public static OnnxBatchScoringEstimator ScoreOnnx(this TransformsCatalog catalog, OnnxBatchScoringEstimator.Options options) =>
        new(catalog.GetEnvironment(), options);

    /// <summary>Makes one row a series of rows that have an id and a time.</summary>
    /// <param name="catalog">The transforms catalog.</param>
    /// <param name="options">The columns.</param>
    public static GroupTimeSeriesEstimator GroupTimeSeries(this TransformsCatalog catalog, GroupTimeSeriesEstimator.Options options) =>
        new(catalog.GetEnvironment(), options);
}
