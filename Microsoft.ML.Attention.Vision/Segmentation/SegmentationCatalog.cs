using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;

namespace Microsoft.ML;

/// <summary>Few-shot segmentation in an <see cref="MLContext"/>'s catalogs.</summary>
public static class SegmentationCatalog
{
    /// <summary>Finds the objects of classes that a few pictures and masks tell of.</summary>
    /// <param name="catalog">The transforms catalog.</param>
    /// <param name="support">The classes, each with its pictures and masks.</param>
    /// <param name="options">The model and the column of pictures.</param>
    /// <exception cref="InvalidDataException">A picture or mask of the support set is no good; the message names it.</exception>
    public static FewShotSegmentationEstimator SegmentFewShot(
        this TransformsCatalog catalog, SupportSet support, FewShotSegmentationEstimator.Options options) =>
        new(catalog.GetEnvironment(), support, options);

    /// <summary>Trains a model for <see cref="SegmentFewShot(TransformsCatalog, SupportSet, FewShotSegmentationEstimator.Options)"/>.</summary>
    /// <param name="catalog">The transforms catalog.</param>
    /// <param name="options">The columns, the architecture and how it is trained.</param>
    public static FewShotSegmentationTrainer FewShotSegmentation(
        this TransformsCatalog catalog, FewShotSegmentationTrainer.Options options) => new(catalog.GetEnvironment(), options);
}
