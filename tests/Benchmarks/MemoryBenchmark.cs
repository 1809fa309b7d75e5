using System.Diagnostics;
using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Data;

namespace Benchmarks;

/// <summary>Memory while pictures of [3, 32, 32] are scored and passed through: it should be flat.</summary>
internal static class MemoryBenchmark
{
    public static int Run(string[] args)
    {
        int rows = Machine.Option(args, "--rows", 100_000);
        Machine.Print();
        var model = BenchmarkModel.ConvNet();
        var ml = new MLContext(seed: 1);
        var schema = SchemaDefinition.Create(typeof(Row));
        schema["x"].ColumnType = new VectorDataViewType(NumberDataViewType.Single, model.RowShape);
        var source = Enumerable.Range(0, rows).Select(i => new Row { X = new float[model.RowLength], Name = $"row {i}" });
        var data = ml.Data.LoadFromEnumerable(source, schema);
        using var transformer = ml.Transforms.ScoreOnnx(new OnnxBatchScoringEstimator.Options { Model = model.Bytes }).Fit(data);
        var scored = transformer.Transform(data);
        using var cursor = scored.GetRowCursor(scored.Schema);
        var scores = cursor.GetGetter<VBuffer<float>>(scored.Schema["scores"]);
        var name = cursor.GetGetter<ReadOnlyMemory<char>>(scored.Schema["Name"]);
        VBuffer<float> value = default;
        ReadOnlyMemory<char> text = default;

        Console.WriteLine();
        Console.WriteLine("| rows scored | working set, MB | managed heap, MB |");
        Console.WriteLine("|---|---|---|");
        double early = 0, late = 0;
        for (int row = 1; cursor.MoveNext(); row++)
        {
            scores(ref value);
            name(ref text);
            if (row % (rows / 10) != 0)
                continue;
            double workingSet = Process.GetCurrentProcess().WorkingSet64 / 1e6;
            early = row <= rows / 5 ? Math.Max(early, workingSet) : early;
            late = Math.Max(late, workingSet);
            Console.WriteLine($"| {row:N0} | {workingSet:F0} | {GC.GetTotalMemory(false) / 1e6:F0} |");
        }
        Console.WriteLine();
        Console.WriteLine($"peak {late:F0} MB, {late / early - 1:P0} above the first fifth");
        return late < early * 1.2 ? 0 : 1;
    }

    private sealed class Row
    {
        [ColumnName("x")]
        public float[] X { get; set; } = [];

        public string Name { get; set; } = "";
    }
}
