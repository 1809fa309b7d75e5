using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;

namespace Microsoft.ML;

/// <summary>Object detection in an <see cref="MLContext"/>'s catalogs.</summary>
public static class DetectionCatalog
{
    /// <summary>Detects objects in pictures with a detector that exists already.</summary>
    /// <param name="catalog">The transforms catalog.</param>
    /// <param name="options">The model, the column of pictures and their preprocessing.</param>
    public static ObjectDetectionEstimator DetectObjects(this TransformsCatalog catalog, ObjectDetectionEstimator.Options options) =>
        new(catalog.GetEnvironment(), options);

    /// <summary>Trains a detector.</summary>
    /// <param name="catalog">The catalog of multiclass trainers.</param>
    /// <param name="options">The columns, the model to start from and how it is trained.</param>
    public static ObjectDetectionAttentionTrainer ObjectDetectionAttention(
        this MulticlassClassificationCatalog.MulticlassClassificationTrainers catalog, ObjectDetectionAttentionTrainer.Options options) =>
        new(catalog.GetEnvironment(), options);

    /// <summary>Measures detections against the objects that are in the pictures, by the rules of the COCO challenge.</summary>
    /// <param name="catalog">The catalog of multiclass classification.</param>
    /// <param name="data">Scored pictures with their annotations.</param>
    /// <param name="columns">The columns of a detector; null for those with the names that it has by default.</param>
    /// <param name="annotations">The columns that tell the objects; null for those of <see cref="AnnotatedPicture"/>.</param>
    /// <exception cref="ArgumentException">A column is missing or of another type.</exception>
    public static DetectionMetrics EvaluateDetections(
        this MulticlassClassificationCatalog catalog, IDataView data, DetectionColumns? columns = null,
        AnnotationColumns? annotations = null)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        ArgumentNullException.ThrowIfNull(data);
        return DetectionEvaluator.Evaluate(data, columns ?? new(), annotations ?? new());
    }

    /// <summary>Loads the pictures of an annotated data set as rows of <see cref="AnnotatedPicture"/>.</summary>
    /// <param name="catalog">The data catalog.</param>
    /// <param name="annotations">What <see cref="VocAnnotations"/> or <see cref="CocoAnnotations"/> read.</param>
    public static IDataView LoadAnnotations(this DataOperationsCatalog catalog, BoxAnnotations annotations)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        ArgumentNullException.ThrowIfNull(annotations);
        return catalog.LoadFromEnumerable(annotations.Pictures);
    }
}
