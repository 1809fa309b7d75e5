using System.Text.Json;
using Microsoft.ML.Attention.Vision;

namespace Microsoft.ML.Attention.Onnx.Goldens;

/// <summary>The generators that StoryDiffusion's seeds go to: CPython's and PyTorch's for the CPU.</summary>
internal sealed class StoryRandomCases : ComputedCases
{
    private const int Count = 200;

    // What the shuffles of a case start from.
    private static readonly int[][] Ordered = [[1, 1, 2, 2], [1, 1, 2], [.. Enumerable.Range(0, 11)]];

    private static readonly int[] Bounds = [2, 3, 4, 5, 10, 1000];

    public override IReadOnlyDictionary<string, Tensor> Expect(GoldenCase golden)
    {
        if (golden.Variant != "python_random")
            return golden.Expected;
        var expected = new Dictionary<string, Tensor>(golden.Expected);
        foreach (var seed in golden.Config.EnumerateObject())
        {
            foreach (var list in seed.Value.EnumerateObject().Where(list => list.Value.ValueKind == JsonValueKind.Array))
                expected[$"output:{list.Name}.{seed.Name}"] = Integers(Flat(list.Value));
        }
        return expected;
    }

    protected override IReadOnlyDictionary<string, Tensor> Compute(GoldenCase golden) =>
        golden.Variant == "python_random" ? Python(golden.Config) : Torch(golden.Config.GetProperty("cases"));

    private static Dictionary<string, Tensor> Python(JsonElement seeds)
    {
        var outputs = new Dictionary<string, Tensor>();
        foreach (var seed in seeds.EnumerateObject().Select(seed => long.Parse(seed.Name)))
        {
            var random = new PythonRandom(seed);
            double[] numbers = [.. Enumerable.Range(0, Count).Select(_ => random.NextDouble())];
            outputs[$"random.{seed}"] = Tensor.Create<double>(numbers, Count);

            random = new(seed);
            var shuffled = Ordered.Select(values => values.ToArray()).ToArray();
            Array.ForEach(shuffled, values => random.Shuffle<int>(values));
            outputs[$"shuffles_after_seed.{seed}"] = Integers(shuffled.SelectMany(values => values).Select(value => (long)value));

            random = new(seed);
            outputs[$"getrandbits32.{seed}"] = Integers(Enumerable.Range(0, 8).Select(_ => (long)random.NextBits(32)));

            random = new(seed);
            outputs[$"randbelow.{seed}"] = Integers(Bounds.Select(bound => (long)random.NextBelow(bound)));
        }
        return outputs;
    }

    private static Dictionary<string, Tensor> Torch(JsonElement cases)
    {
        var outputs = new Dictionary<string, Tensor>();
        foreach (var (i, entry) in cases.EnumerateArray().Index())
        {
            var random = new TorchRandom(entry.GetProperty("seed").GetInt64());
            var values = new float[entry.GetProperty("shape").EnumerateArray().Aggregate(1, (count, dim) => count * dim.GetInt32())];
            for (var call = 0; call < 2; call++)
            {
                random.FillNormal(values);
                outputs[$"first.{i}.{call}"] = Tensor.Create<float>(values.AsSpan(0, 128), 128);
                outputs[$"last.{i}.{call}"] = Tensor.Create<float>(values.AsSpan(values.Length - 32), 32);
                outputs[$"sum.{i}.{call}"] = Tensor.Create<double>(
                    [values.Sum(value => (double)value), values.Sum(value => (double)value * value)], 2);
            }
        }
        var uniform = new float[64];
        new TorchRandom(3).FillUniform(uniform);
        outputs["rand_float32.3"] = Tensor.Create<float>(uniform, uniform.Length);
        return outputs;
    }

    private static Tensor Integers(IEnumerable<long> values) => Tensor.Int64([.. values]);

    private static IEnumerable<long> Flat(JsonElement list) => list.ValueKind == JsonValueKind.Array
        ? list.EnumerateArray().SelectMany(Flat)
        : [list.GetInt64()];
}
