using Microsoft.ML;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;

namespace SegmentFewShot;

/// <summary>
/// What few-shot segmentation is measured against: the object is where the backbone's features are like their mean over the support's object
/// (its prototype), by a threshold on the cosine. Which of the backbone's maps and which threshold are chosen on classes of the training.
/// </summary>
internal sealed class PrototypeBaseline
{
    private const int ThresholdCount = 80;

    private static readonly string[] Maps = ["second", "third", "last"];

    private readonly MLContext _context;
    private readonly ITransformer _backbone;
    private readonly int _size;
    private readonly Dictionary<string, int> _channels;
    private string _map = "";
    private float _threshold;

    /// <param name="context">The context.</param>
    /// <param name="backbone">The backbone, as <see cref="Microsoft.ML.Attention.Onnx.Models.Sccan.BuildBackbone"/> makes it.</param>
    /// <param name="size">The scenes' height and width.</param>
    /// <param name="scoring">Where it runs.</param>
    public PrototypeBaseline(MLContext context, byte[] backbone, int size, Microsoft.ML.Attention.ScoringOptions scoring)
    {
        (_context, _size) = (context, size);
        _backbone = context.Transforms.ScoreImages(new ImageScoringEstimator.Options
        {
            Model = backbone,
            Preprocessing = ImagePreprocessing.Stretch(size, size),
            Scoring = scoring,
        }).Fit(Rows([]));
        var schema = _backbone.GetOutputSchema(Rows([]).Schema);
        _channels = Maps.ToDictionary(map => map, map => ((VectorDataViewType)schema[map].Type).Dimensions[0]);
    }

    /// <summary>What was chosen.</summary>
    public override string ToString() => FormattableString.Invariant($"map '{_map}', cosine of {_threshold:0.00} or more");

    /// <summary>Chooses map and threshold by the mIoU of episodes.</summary>
    public void Choose(IReadOnlyList<EpisodeSet> sets)
    {
        var best = -1.0;
        foreach (var map in Maps)
        {
            var evaluators = Enumerable.Range(0, ThresholdCount).Select(_ => new FewShotEvaluator()).ToArray();
            foreach (var set in sets)
            {
                foreach (var (query, cosines) in set.Queries.Zip(Cosines(set, map)))
                {
                    var truth = query.Only(set.Class);
                    for (var i = 0; i < evaluators.Length; i++)
                        evaluators[i].Add(set.Label, Above(cosines, Threshold(i)), truth);
                }
            }
            for (var i = 0; i < evaluators.Length; i++)
            {
                if (evaluators[i].Measure().MeanIoU is var mean && mean > best)
                    (best, _map, _threshold) = (mean, map, Threshold(i));
            }
        }

        static float Threshold(int index) => (index - (ThresholdCount / 4)) / (0.75f * ThresholdCount);
    }

    /// <summary>The masks of the queries.</summary>
    public IEnumerable<byte[]> Segment(EpisodeSet set) => Cosines(set, _map).Select(cosines => Above(cosines, _threshold));

    private static byte[] Above(float[] cosines, float threshold) =>
        Array.ConvertAll(cosines, cosine => (byte)(cosine >= threshold ? 1 : 0));

    // For each query the cosine of each pixel of the scene.
    private IEnumerable<float[]> Cosines(EpisodeSet set, string map)
    {
        var prototype = Prototype(set, map);
        return Features(set.Queries, map).Select(features =>
        {
            var cosines = new float[features.Length / prototype.Length];
            for (var position = 0; position < cosines.Length; position++)
                cosines[position] = Cosine(features, position, cosines.Length, prototype);
            return Enlarge(cosines);
        });
    }

    // The mean features of the object, over its positions and the supports.
    private float[] Prototype(EpisodeSet set, string map)
    {
        var prototype = new float[_channels[map]];
        foreach (var (support, features) in set.Supports.Zip(Features(set.Supports, map)))
        {
            var mask = support.Only(set.Class);
            var positions = features.Length / prototype.Length;
            var side = (int)Math.Sqrt(positions);
            int[] inside = [.. Enumerable.Range(0, positions).Where(
                position => mask[(Pixel(position / side, side) * _size) + Pixel(position % side, side)] == 1)];
            for (var channel = 0; channel < prototype.Length; channel++)
                prototype[channel] += inside.Sum(position => features[(channel * positions) + position]) / (inside.Length + 0.0005f);
        }
        return prototype;
    }

    // Corners lie on corners, as in the model.
    private int Pixel(int index, int side) => (int)Math.Round(index * (_size - 1.0) / (side - 1));

    private static float Cosine(float[] features, int position, int positions, float[] prototype)
    {
        var (product, square, length) = (0f, 0f, 0f);
        for (var channel = 0; channel < prototype.Length; channel++)
        {
            var value = features[(channel * positions) + position];
            product += value * prototype[channel];
            square += value * value;
            length += prototype[channel] * prototype[channel];
        }
        return product / (MathF.Sqrt(square * length) + 1e-7f);
    }

    private float[] Enlarge(float[] map)
    {
        var side = (int)Math.Sqrt(map.Length);
        var scale = (side - 1f) / (_size - 1);
        var pixels = new float[_size * _size];
        for (var i = 0; i < pixels.Length; i++)
        {
            var (x, y) = (i % _size * scale, i / _size * scale);
            var (left, top) = (Math.Min((int)x, side - 2), Math.Min((int)y, side - 2));
            var corner = (top * side) + left;
            var above = map[corner] + ((map[corner + 1] - map[corner]) * (x - left));
            var below = map[corner + side] + ((map[corner + side + 1] - map[corner + side]) * (x - left));
            pixels[i] = above + ((below - above) * (y - top));
        }
        return pixels;
    }

    private IEnumerable<float[]> Features(IReadOnlyList<Scene> scenes, string map) =>
        _backbone.Transform(Rows(scenes)).GetColumn<float[]>(map);

    private IDataView Rows(IReadOnlyList<Scene> scenes) => _context.Data.LoadFromEnumerable(scenes);
}
