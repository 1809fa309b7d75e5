namespace Microsoft.ML.Attention.Vision;

/// <summary>A box of one picture: corners in pixels.</summary>
internal readonly record struct CornerBox(float Left, float Top, float Right, float Bottom)
{
    public double Area => (double)(Right - Left) * (Bottom - Top);

    public double Intersection(CornerBox other)
    {
        var width = Math.Min(Right, other.Right) - Math.Max(Left, other.Left);
        var height = Math.Min(Bottom, other.Bottom) - Math.Max(Top, other.Top);
        return width <= 0 || height <= 0 ? 0 : (double)width * height;
    }
}

/// <summary>An object that is to be found.</summary>
internal readonly record struct TrueBox(CornerBox Box, string Label, bool IsIgnored);

/// <summary>What a detector found.</summary>
internal readonly record struct DetectedBox(CornerBox Box, string Label, float Score);

/// <summary>
/// Average precision by the rules of the COCO challenge. Matching is greedy, best detection first, each taking the object of most overlap
/// that is still free; detections that match what is ignored, or that are of another size and match nothing, do not count.
/// <para>Source: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014 (arXiv 1405.0312), and the evaluation code of
/// cocodataset/cocoapi.</para>
/// </summary>
internal sealed class AveragePrecision
{
    private const int MostDetections = 100;
    private const double Small = 32 * 32, Large = 96 * 96;

    private static readonly double[] Thresholds = [.. Enumerable.Range(0, 10).Select(i => 0.5 + (0.05 * i))];

    private readonly List<(TrueBox[] Truth, DetectedBox[] Detections)> _pictures = [];

    /// <summary>Adds a picture.</summary>
    public void Add(IEnumerable<TrueBox> truth, IEnumerable<DetectedBox> detections) => _pictures.Add((
        [.. truth], [.. detections.OrderByDescending(detection => detection.Score).Take(MostDetections)]));

    /// <summary>The metrics of all pictures that were added.</summary>
    public DetectionMetrics Measure()
    {
        var classes = _pictures.SelectMany(picture => picture.Truth).Where(box => !box.IsIgnored).Select(box => box.Label).Distinct()
            .Order(StringComparer.Ordinal).ToArray();
        var all = classes.ToDictionary(label => label, label => OfClass(label, 0, double.PositiveInfinity));
        return new()
        {
            AP = Mean(all.Values, curve => curve.Precisions),
            AP50 = Mean(all.Values, curve => curve.Precisions[..1]),
            AP75 = Mean(all.Values, curve => curve.Precisions[5..6]),
            APSmall = OfSize(0, Small),
            APMedium = OfSize(Small, Large),
            APLarge = OfSize(Large, double.PositiveInfinity),
            Recall = Mean(all.Values, curve => curve.Recalls),
            Classes = all.ToDictionary(entry => entry.Key, entry => (entry.Value!.Precisions.Average(), entry.Value.Precisions[0])),
        };

        double OfSize(double least, double most) => Mean(classes.Select(label => OfClass(label, least, most)), curve => curve.Precisions);
    }

    private static double Mean(IEnumerable<Curve?> curves, Func<Curve, double[]> select) =>
        curves.OfType<Curve>().SelectMany(select).DefaultIfEmpty(double.NaN).Average();

    /// <summary>Precision and recall at each threshold; null where the class has no objects of the size.</summary>
    private Curve? OfClass(string label, double leastArea, double mostArea)
    {
        var outcomes = Thresholds.Select(_ => new List<(float Score, bool IsRight)>()).ToArray();
        var objectCount = 0;
        foreach (var (truth, detections) in _pictures)
        {
            // Objects that count come first.
            var objects = truth.Where(box => box.Label == label)
                .Select(box => (box.Box, box.IsIgnored, Counts: !box.IsIgnored && IsOfSize(box.Box)))
                .OrderBy(box => box.Counts ? 0 : 1).ToArray();
            objectCount += objects.Count(box => box.Counts);
            var found = detections.Where(detection => detection.Label == label).ToArray();
            for (var i = 0; i < Thresholds.Length; i++)
                Match(objects, found, Thresholds[i], outcomes[i]);
        }
        if (objectCount == 0)
            return null;
        var curves = outcomes.Select(outcome => Interpolate(outcome, objectCount)).ToArray();
        return new([.. curves.Select(curve => curve.Precision)], [.. curves.Select(curve => curve.Recall)]);

        void Match((CornerBox Box, bool IsCrowd, bool Counts)[] objects, DetectedBox[] found, double threshold, List<(float, bool)> outcome)
        {
            var isTaken = new bool[objects.Length];
            foreach (var detection in found)
            {
                var (best, overlap) = (-1, Math.Min(threshold, 1 - 1e-10));
                for (var i = 0; i < objects.Length; i++)
                {
                    if (isTaken[i] && !objects[i].IsCrowd)
                        continue;
                    if (best >= 0 && objects[best].Counts && !objects[i].Counts)
                        break;
                    if (Overlap(detection.Box, objects[i].Box, objects[i].IsCrowd) is var here && here >= overlap)
                        (best, overlap) = (i, here);
                }
                if (best >= 0)
                    isTaken[best] = true;
                if (best >= 0 ? objects[best].Counts : IsOfSize(detection.Box))
                    outcome.Add((detection.Score, best >= 0));
            }
        }

        bool IsOfSize(CornerBox box) => box.Area >= leastArea && box.Area <= mostArea;
    }

    // A detection within a crowd may cover any part of it.
    private static double Overlap(CornerBox detection, CornerBox truth, bool isCrowd)
    {
        var intersection = detection.Intersection(truth);
        var union = isCrowd ? detection.Area : detection.Area + truth.Area - intersection;
        return union > 0 ? intersection / union : 0;
    }

    // The mean, over 101 recalls, of the best precision at that recall or beyond.
    private static (double Precision, double Recall) Interpolate(List<(float Score, bool IsRight)> outcomes, int objectCount)
    {
        var ordered = outcomes.OrderByDescending(outcome => outcome.Score).ToArray();
        var (precisions, recalls) = (new double[ordered.Length], new double[ordered.Length]);
        var right = 0;
        for (var i = 0; i < ordered.Length; i++)
        {
            right += ordered[i].IsRight ? 1 : 0;
            (precisions[i], recalls[i]) = (right / (double)(i + 1), right / (double)objectCount);
        }
        for (var i = ordered.Length - 2; i >= 0; i--)
            precisions[i] = Math.Max(precisions[i], precisions[i + 1]);
        var (sum, place) = (0.0, 0);
        for (var step = 0; step <= 100; step++)
        {
            while (place < recalls.Length && recalls[place] < step / 100.0)
                place++;
            sum += place < precisions.Length ? precisions[place] : 0;
        }
        return (sum / 101, recalls.Length == 0 ? 0 : recalls[^1]);
    }

    /// <param name="Precisions">Average precision at each threshold.</param>
    /// <param name="Recalls">Recall of all detections at each threshold.</param>
    private sealed record Curve(double[] Precisions, double[] Recalls);
}
