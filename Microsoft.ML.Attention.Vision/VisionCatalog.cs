using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;

namespace Microsoft.ML;

/// <summary>The estimators of Microsoft.ML.Attention.Vision in an <see cref="MLContext"/>'s catalogs.</summary>
public static class VisionCatalog
{
    /// <summary>Scores pictures with an ONNX model that exists already.</summary>
    /// <param name="catalog">The transforms catalog.</param>
    /// <param name="options">The model, the column of pictures and their preprocessing.</param>
    public static ImageScoringEstimator ScoreImages(this TransformsCatalog catalog, ImageScoringEstimator.Options options) =>
        new(catalog.GetEnvironment(), options);

    /// <summary>Trains an attention model that classifies pictures.</summary>
    /// <param name="catalog">The catalog of multiclass trainers.</param>
    /// <param name="options">The columns, the architecture and how it is trained.</param>
    public static ImageAttentionTrainer ImageAttention(
        this MulticlassClassificationCatalog.MulticlassClassificationTrainers catalog, ImageAttentionTrainer.Options options) =>
        new(catalog.GetEnvironment(), options);
}
