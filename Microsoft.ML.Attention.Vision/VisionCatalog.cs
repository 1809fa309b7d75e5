using Microsoft.ML.Attention.Onnx.Models;
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

    /// <summary>Trains an architecture that classifies pictures, from random weights and with the options' defaults.</summary>
    /// <param name="catalog">The catalog of multiclass trainers.</param>
    /// <param name="architecture">The architecture's name, one of <see cref="ImageClassifiers.Variants"/>.</param>
    /// <param name="labelColumnName">The label column, a key.</param>
    /// <param name="imageColumnName">The column of pictures: paths, contents of files or images.</param>
    public static ImageAttentionTrainer ImageAttention(
        this MulticlassClassificationCatalog.MulticlassClassificationTrainers catalog, string architecture,
        string labelColumnName = DefaultColumnNames.Label, string imageColumnName = "Image") =>
        new(catalog.GetEnvironment(), new()
        {
            Architecture = ImageClassifiers.Find(architecture),
            Columns = new() { Label = labelColumnName },
            ImageColumnName = imageColumnName,
        });

    /// <summary>Trains a model that classifies pictures.</summary>
    /// <param name="catalog">The catalog of multiclass trainers.</param>
    /// <param name="options">The columns, the model to start from and how it is trained.</param>
    public static ImageAttentionTrainer ImageAttention(
        this MulticlassClassificationCatalog.MulticlassClassificationTrainers catalog, ImageAttentionTrainer.Options options) =>
        new(catalog.GetEnvironment(), options);
}
