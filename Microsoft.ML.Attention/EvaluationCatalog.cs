using Microsoft.ML.Attention;
using Microsoft.ML.Data;

namespace Microsoft.ML;

/// <summary>Metrics that ML.NET's own evaluators do not have. Rows without a score, which could not be read, are left out.</summary>
public static class EvaluationCatalog
{
    /// <summary>Measures how well scores rank rows: areas under the curves, and the lesser of precision and sensitivity.</summary>
    /// <param name="catalog">The catalog of binary classification.</param>
    /// <param name="data">Scored rows.</param>
    /// <param name="labelColumnName">The column of labels, bool.</param>
    /// <param name="scoreColumnName">The column of scores or probabilities, float.</param>
    public static CurveMetrics EvaluateCurves(
        this BinaryClassificationCatalog catalog, IDataView data, string labelColumnName = DefaultColumnNames.Label,
        string scoreColumnName = DefaultColumnNames.Score) =>
        catalog.RankScores(data, labelColumnName, scoreColumnName).Measure();

    /// <summary>Sorts scored rows, to measure them in other ways, such as by <see cref="Bootstrap"/>.</summary>
    /// <inheritdoc cref="EvaluateCurves"/>
    public static RankedScores RankScores(
        this BinaryClassificationCatalog catalog, IDataView data, string labelColumnName = DefaultColumnNames.Label,
        string scoreColumnName = DefaultColumnNames.Score)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        var rows = data.GetColumn<float>(scoreColumnName).Zip(data.GetColumn<bool>(labelColumnName))
            .Where(row => !float.IsNaN(row.First)).ToArray();
        return new([.. rows.Select(row => (double)row.First)], [.. rows.Select(row => row.Second)]);
    }

    /// <summary>Measures the answers to several questions of yes and no.</summary>
    /// <param name="catalog">The catalog of binary classification.</param>
    /// <param name="data">Scored rows.</param>
    /// <param name="labelColumnName">The column of labels: vectors of bool or of float (0 or 1).</param>
    /// <param name="scoreColumnName">The column of scores or probabilities: vectors of float.</param>
    public static MultiLabelMetrics EvaluateLabels(
        this BinaryClassificationCatalog catalog, IDataView data, string labelColumnName = DefaultColumnNames.Label,
        string scoreColumnName = DefaultColumnNames.Score)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        var labels = data.Schema[labelColumnName].Type.GetItemType() is BooleanDataViewType
            ? data.GetColumn<bool[]>(labelColumnName)
            : data.GetColumn<float[]>(labelColumnName).Select(row => Array.ConvertAll(row, label => label > 0));
        var rows = data.GetColumn<float[]>(scoreColumnName).Zip(labels).Where(row => !Array.Exists(row.First, float.IsNaN)).ToArray();
        return MultiLabelMetrics.Of(
            [.. rows.Select(row => Array.ConvertAll(row.First, score => (double)score))], [.. rows.Select(row => row.Second)]);
    }

    /// <summary>Measures predicted amounts by buckets.</summary>
    /// <param name="catalog">The catalog of regression.</param>
    /// <param name="data">Scored rows.</param>
    /// <param name="buckets">Where buckets meet, ascending.</param>
    /// <param name="labelColumnName">The column of true amounts, float.</param>
    /// <param name="scoreColumnName">The column of predicted amounts, float.</param>
    public static BucketMetrics EvaluateBuckets(
        this RegressionCatalog catalog, IDataView data, IReadOnlyList<float> buckets, string labelColumnName = DefaultColumnNames.Label,
        string scoreColumnName = DefaultColumnNames.Score)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        var rows = data.GetColumn<float>(scoreColumnName).Zip(data.GetColumn<float>(labelColumnName))
            .Where(row => !float.IsNaN(row.First)).ToArray();
        return BucketMetrics.Of(
            [.. rows.Select(row => (double)row.First)], [.. rows.Select(row => (double)row.Second)],
            [.. buckets.Select(edge => (double)edge)]);
    }
}
