using System.Globalization;

namespace Microsoft.ML.Attention;

/// <summary>How well several questions of yes and no are answered.</summary>
/// <param name="Labels">The metrics of each label; NaN for a label that all rows have, or none.</param>
/// <param name="MicroAreaUnderRocCurve">The area under the curve of all labels of all rows together.</param>
/// <param name="WeightedAreaUnderRocCurve">
/// The mean of the labels' areas, each counting as often as rows have it; labels without an area aside.
/// </param>
public sealed record MultiLabelMetrics(
    IReadOnlyList<CurveMetrics> Labels, double MicroAreaUnderRocCurve, double WeightedAreaUnderRocCurve)
{
    /// <summary>The mean of the labels' areas, those aside that have none.</summary>
    public double MacroAreaUnderRocCurve =>
        Labels.Select(label => label.AreaUnderRocCurve).Where(area => !double.IsNaN(area)).DefaultIfEmpty(double.NaN).Average();

    /// <summary>Measures scores.</summary>
    /// <param name="scores">A number for each label of each row.</param>
    /// <param name="labels">Which labels each row has.</param>
    public static MultiLabelMetrics Of(IReadOnlyList<double[]> scores, IReadOnlyList<bool[]> labels)
    {
        var count = labels.Count == 0 ? 0 : labels[0].Length;
        CurveMetrics[] each = [.. Enumerable.Range(0, count).Select(label =>
            new RankedScores([.. scores.Select(row => row[label])], [.. labels.Select(row => row[label])]).Measure())];
        var measured = each.Index().Where(label => !double.IsNaN(label.Item.AreaUnderRocCurve))
            .Select(label => (Area: label.Item.AreaUnderRocCurve, Rows: labels.Count(row => row[label.Index]))).ToArray();
        return new(
            each,
            new RankedScores([.. scores.SelectMany(row => row)], [.. labels.SelectMany(row => row)]).Measure().AreaUnderRocCurve,
            measured.Sum(label => label.Area * label.Rows) / measured.Sum(label => label.Rows));
    }

    /// <summary>The metrics as a line for people.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"macro AUROC {MacroAreaUnderRocCurve:0.000}, micro AUROC {MicroAreaUnderRocCurve:0.000}");
}
