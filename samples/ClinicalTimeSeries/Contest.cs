using System.Diagnostics;
using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Data;

namespace ClinicalTimeSeries;

/// <summary>Cross-validates models on the same folds and compares the scores that each stay gets by models that did not see it.</summary>
internal sealed class Contest(MLContext context, StaySet set, int foldCount, int seed, Action<string> say)
{
    private readonly int[] _folds = set.Folds(foldCount, seed);
    private readonly List<(string Name, RankedScores Scores)> _results = [];

    /// <summary>Cross-validates a model of time series, which <paramref name="create"/> makes for each fold.</summary>
    public void AddSeries(string name, Func<int, IEstimator<ITransformer>> create) =>
        Add(name, create, indices => context.Data.LoadFromEnumerable(indices.Select(i => set.Stays[i])));

    /// <summary>Cross-validates a model of <see cref="SummaryFeatures"/>.</summary>
    public void AddTable(string name, Func<MLContext, IEstimator<ITransformer>> create)
    {
        var summarised = set.Stays.Select(stay => new SummarisedStay
        {
            Features = SummaryFeatures.Of(stay.Times, stay.Series, set.Variables.Count), Label = stay.Label,
        }).ToArray();
        var schema = SummarisedStay.Schema(set.Variables.Count);
        Add(name, _ => create(context), indices => context.Data.LoadFromEnumerable(indices.Select(i => summarised[i]), schema));
    }

    /// <summary>Says the metrics of each model with their confidence intervals, and how far the first one is ahead of each other.</summary>
    public void Report()
    {
        var bootstrap = new Bootstrap(drawCount: 10_000);
        foreach (var (name, scores) in _results)
        {
            say($"{name,-24} AUROC {bootstrap.Measure(scores.Count, w => scores.Measure(w).AreaUnderRocCurve)}, "
                + $"AUPRC {bootstrap.Measure(scores.Count, w => scores.Measure(w).AreaUnderPrecisionRecallCurve)}, "
                + $"min(P, Se) {bootstrap.Measure(scores.Count, w => scores.Measure(w).MinPrecisionSensitivity)}");
        }
        var (firstName, first) = _results[0];
        foreach (var (name, other) in _results.Skip(1))
        {
            var ahead = bootstrap.Measure(
                first.Count, w => first.Measure(w).AreaUnderRocCurve - other.Measure(w).AreaUnderRocCurve);
            say($"{firstName} ahead of {name} by {ahead} AUROC, in {ahead.ShareAboveZero:0%} of the draws");
        }
    }

    private void Add(string name, Func<int, IEstimator<ITransformer>> create, Func<IEnumerable<int>, IDataView> load)
    {
        var clock = Stopwatch.StartNew();
        var scores = new double[set.Stays.Count];
        for (var fold = 0; fold < foldCount; fold++)
        {
            var model = create(fold).Fit(load(Indices(inFold: false, fold)));
            var tested = Indices(inFold: true, fold).ToArray();
            foreach (var (i, score) in tested.Zip(model.Transform(load(tested)).GetColumn<float>("Score")))
                scores[i] = score;
            (model as IDisposable)?.Dispose();
        }
        _results.Add((name, new(scores, [.. set.Stays.Select(stay => stay.Label)])));
        say($"{name}: {foldCount} folds in {clock.Elapsed.TotalSeconds:0} s");
    }

    private IEnumerable<int> Indices(bool inFold, int fold) =>
        Enumerable.Range(0, _folds.Length).Where(i => _folds[i] == fold == inFold);
}
