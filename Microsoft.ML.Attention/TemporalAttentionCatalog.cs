using Microsoft.ML.Attention;
using Microsoft.ML.Data;

namespace Microsoft.ML;

/// <summary>The trainers of models of time series in an <see cref="MLContext"/>'s catalogs.</summary>
public static class TemporalAttentionCatalog
{
    /// <summary>Trains a model that tells yes or no of time series. The label is a bool.</summary>
    /// <param name="catalog">The catalog of binary trainers.</param>
    /// <param name="options">The columns, the variables and how the model is trained.</param>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public static TemporalAttentionTrainer TemporalAttention(
        this BinaryClassificationCatalog.BinaryClassificationTrainers catalog, TemporalAttentionTrainer.Options options) =>
        new(catalog.GetEnvironment(), options, new BinaryTask(options.Columns));

    /// <summary>
    /// Trains a model that answers several questions of yes or no about time series. The label is a vector of bool or float (0 or 1).
    /// </summary>
    /// <inheritdoc cref="TemporalAttention(BinaryClassificationCatalog.BinaryClassificationTrainers, TemporalAttentionTrainer.Options)"/>
    public static TemporalAttentionTrainer TemporalAttentionOfLabels(
        this BinaryClassificationCatalog.BinaryClassificationTrainers catalog, TemporalAttentionTrainer.Options options) =>
        new(catalog.GetEnvironment(), options, new MultiLabelTask(options.Columns, 0, []));

    /// <summary>Trains a model that classifies time series. The label is a key.</summary>
    /// <param name="catalog">The catalog of multiclass trainers.</param>
    /// <param name="options">The columns, the variables and how the model is trained.</param>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public static TemporalAttentionTrainer TemporalAttention(
        this MulticlassClassificationCatalog.MulticlassClassificationTrainers catalog, TemporalAttentionTrainer.Options options) =>
        new(catalog.GetEnvironment(), options, new MulticlassTask(options.Columns, null));

    /// <summary>Trains a model that tells an amount of time series. The label is a float.</summary>
    /// <param name="catalog">The catalog of regression trainers.</param>
    /// <param name="options">The columns, the variables and how the model is trained.</param>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public static TemporalAttentionTrainer TemporalAttention(
        this RegressionCatalog.RegressionTrainers catalog, TemporalAttentionTrainer.Options options) =>
        new(catalog.GetEnvironment(), options, new RegressionTask(options.Columns));

    /// <summary>
    /// Trains a model that chooses among buckets of amounts, such as days of a stay, and predicts the mean of the training labels in the
    /// bucket chosen. The label is a float.
    /// </summary>
    /// <param name="catalog">The catalog of regression trainers.</param>
    /// <param name="options">The columns, the variables and how the model is trained.</param>
    /// <param name="buckets">Where buckets meet, ascending; an amount on an edge belongs to the bucket above.</param>
    /// <exception cref="ArgumentException">An option is out of range, or the buckets are not in ascending order.</exception>
    public static TemporalAttentionTrainer TemporalAttention(
        this RegressionCatalog.RegressionTrainers catalog, TemporalAttentionTrainer.Options options, IReadOnlyList<float> buckets) =>
        buckets.Count > 0 && buckets.Zip(buckets.Skip(1)).All(pair => pair.First < pair.Second)
            ? new(catalog.GetEnvironment(), options, new BucketTask(options.Columns, [.. buckets], []))
            : throw new ArgumentException($"The buckets meet at [{string.Join(", ", buckets)}]; that must be numbers in ascending order.");
}
