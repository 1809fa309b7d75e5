using System.Globalization;

namespace Microsoft.ML.Attention;

/// <summary>How well scores put rows that are positive before those that are not; all NaN where there are none of either.</summary>
/// <param name="AreaUnderRocCurve">
/// The chance that a positive row has a higher score than a negative one, ties counting one half; in [0, 1].
/// </param>
/// <param name="AreaUnderPrecisionRecallCurve">
/// The area under the trapezoids between the points of precision and recall, one for each score, from recall 0 and precision 1 on: that of
/// the MIMIC-III benchmark, not the average precision. In [0, 1].
/// </param>
/// <param name="AveragePrecision">
/// The sum over the distinct scores, from the highest on, of the precision there times the recall that it adds. In [0, 1].
/// </param>
/// <param name="MinPrecisionSensitivity">
/// The largest value, over all thresholds, of the lesser of precision and recall: score 1 of the PhysioNet/CinC Challenge 2012. In [0, 1].
/// </param>
public readonly record struct CurveMetrics(
    double AreaUnderRocCurve, double AreaUnderPrecisionRecallCurve, double AveragePrecision, double MinPrecisionSensitivity)
{
    /// <summary>The metrics as a line for people.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"AUROC {AreaUnderRocCurve:0.000}, AUPRC {AreaUnderPrecisionRecallCurve:0.000}, min(P, Se) {MinPrecisionSensitivity:0.000}");
}
