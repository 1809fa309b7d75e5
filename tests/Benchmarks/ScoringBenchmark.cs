using System.Diagnostics;
using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Onnx.Kernels;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime;

namespace Benchmarks;

/// <summary>
/// Rows a second of four ways to score the same ONNX model over the same rows in memory: our transformer, Microsoft.ML.OnnxTransformer, and
/// loops by hand against ONNX Runtime (with the same kernels as ours), one that reads the same data view and one that reads plain arrays.
/// They take turns, round by round, so that a busy machine disturbs all of them alike.
/// </summary>
internal static class ScoringBenchmark
{
    private const int Rounds = 7;

    public static int Run(string[] args)
    {
        double seconds = Machine.Option(args, "--seconds", 20);
        int batchSize = Machine.Option(args, "--batch", new ScoringOptions().BatchSize);
        Machine.Print();
        Console.WriteLine($"CPU, batch {batchSize}, median of {Rounds} rounds; rows a second");
        Console.WriteLine();
        Console.WriteLine("| model | ML.Attention | OnnxTransformer | by hand, data view | by hand, arrays "
            + "| to OnnxTransformer | to by hand, data view | to by hand, arrays |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|");
        bool agree = true;
        foreach (var model in BenchmarkModel.All())
            agree &= Compare(model, batchSize, seconds / 4 / Rounds);
        return agree ? 0 : 1;
    }

    private static bool Compare(BenchmarkModel model, int batchSize, double secondsATurn)
    {
        var ml = new MLContext(seed: 1);
        string file = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():N}.onnx");
        File.WriteAllBytes(file, model.Bytes);
        try
        {
            var ours = ml.Transforms.ScoreOnnx(new OnnxBatchScoringEstimator.Options
            {
                ModelFile = file,
                Scoring = new() { BatchSize = batchSize, Session = new() { ExecutionProvider = ExecutionProvider.Cpu } },
            });
            var theirs = ml.Transforms.ApplyOnnxModel(file);
            using var sessionOptions = new SessionOptions();
            KernelLibrary.Register(sessionOptions);
            using var session = new InferenceSession(file, sessionOptions);
            Func<int, double[]>[] contenders =
            [
                rows => Score(ours, model, Data(ml, model, rows)),
                rows => Score(theirs, model, Data(ml, model, rows)),
                rows => ScoreByHand(session, model, RowsOf(Data(ml, model, rows)), batchSize),
                rows => ScoreByHand(session, model, Rows(model, rows).Select(row => new ReadOnlyMemory<float>(row)), batchSize),
            ];
            using var disposal = (IDisposable)theirs.Fit(Data(ml, model, 1));
            double[][] checks = [.. contenders.Select(score => score(100))];
            bool agree = checks.All(c => c.Zip(checks[0]).All(pair => Math.Abs(pair.First - pair.Second) < 1e-4));

            int[] rowCounts = Array.ConvertAll(contenders, score => RowsFor(score, secondsATurn));
            var rates = new double[contenders.Length, Rounds];
            for (int round = 0; round < Rounds; round++)
            {
                for (int i = 0; i < contenders.Length; i++)
                {
                    long start = Stopwatch.GetTimestamp();
                    contenders[i](rowCounts[i]);
                    rates[i, round] = rowCounts[i] / Stopwatch.GetElapsedTime(start).TotalSeconds;
                }
            }
            double Median(Func<int, double> value) => Enumerable.Range(0, Rounds).Select(value).Order().ElementAt(Rounds / 2);
            string result = agree ? "" : " (results differ!)";
            string medians = string.Join(" | ", contenders.Select((_, i) => Median(r => rates[i, r]).ToString("N0")));
            Console.WriteLine($"| {model.Name}{result} | {medians} | {Median(r => rates[0, r] / rates[1, r]):F2}x "
                + $"| {Median(r => rates[0, r] / rates[2, r]):P0} | {Median(r => rates[0, r] / rates[3, r]):P0} |");
            return agree;
        }
        finally
        {
            File.Delete(file);
        }
    }

    /// <summary>The rows that take about this long; warms up on the way.</summary>
    private static int RowsFor(Func<int, double[]> score, double seconds)
    {
        for (int rows = 64; ; rows *= 2)
        {
            long start = Stopwatch.GetTimestamp();
            score(rows);
            double elapsed = Stopwatch.GetElapsedTime(start).TotalSeconds;
            if (elapsed > seconds / 2 || rows > 1 << 26)
                return (int)(rows * seconds / elapsed);
        }
    }

    private static IEnumerable<float[]> Rows(BenchmarkModel model, int count)
    {
        var rows = new float[256][];
        for (int r = 0; r < rows.Length; r++)
            rows[r] = [.. Enumerable.Range(0, model.RowLength).Select(i => (r * 31 + i * 7) % 101 / 101f)];
        for (int i = 0; i < count; i++)
            yield return rows[i & 255];
    }

    private static IDataView Data(MLContext ml, BenchmarkModel model, int count)
    {
        var schema = SchemaDefinition.Create(typeof(Row));
        schema["x"].ColumnType = new VectorDataViewType(NumberDataViewType.Single, model.RowShape);
        var row = new Row();
        return ml.Data.LoadFromEnumerable(Rows(model, count).Select(x =>
        {
            row.X = x;
            return row;
        }), schema);
    }

    /// <summary>Reads every score and returns the first ones.</summary>
    private static double[] Score(IEstimator<ITransformer> estimator, BenchmarkModel model, IDataView data)
    {
        var scored = estimator.Fit(data).Transform(data);
        var column = scored.Schema[model.OutputName];
        using var cursor = scored.GetRowCursor([column]);
        var getter = cursor.GetGetter<VBuffer<float>>(column);
        VBuffer<float> scores = default;
        var first = new List<double>();
        while (cursor.MoveNext())
        {
            getter(ref scores);
            if (first.Count < 100)
                first.Add(scores.GetItemOrDefault(1));
        }
        return [.. first];
    }

    private static IEnumerable<ReadOnlyMemory<float>> RowsOf(IDataView data)
    {
        using var cursor = data.GetRowCursor(data.Schema);
        var getter = cursor.GetGetter<VBuffer<float>>(data.Schema["x"]);
        VBuffer<float> value = default;
        float[] row = new float[((VectorDataViewType)data.Schema["x"].Type).Size];
        while (cursor.MoveNext())
        {
            getter(ref value);
            value.CopyTo(row);
            yield return row;
        }
    }

    private static double[] ScoreByHand(InferenceSession session, BenchmarkModel model,
        IEnumerable<ReadOnlyMemory<float>> rows, int batchSize)
    {
        int classes = session.OutputMetadata[model.OutputName].Dimensions[1];
        float[] input = new float[batchSize * model.RowLength], output = new float[batchSize * classes], scores = new float[classes];
        using var options = new RunOptions();
        using var inputValue = Tensor(input, batchSize, model.RowShape);
        using var outputValue = Tensor(output, batchSize, [classes]);
        var first = new List<double>();
        int count = 0;
        foreach (var row in rows)
        {
            row.Span.CopyTo(input.AsSpan(count * model.RowLength));
            if (++count == batchSize)
            {
                session.Run(options, ["x"], [inputValue], [model.OutputName], [outputValue]);
                Take();
            }
        }
        if (count > 0)
        {
            using var lastInput = Tensor(input, count, model.RowShape);
            using var lastOutput = Tensor(output, count, [classes]);
            session.Run(options, ["x"], [lastInput], [model.OutputName], [lastOutput]);
            Take();
        }
        return [.. first];

        static OrtValue Tensor(float[] data, int rows, int[] rowShape) => OrtValue.CreateTensorValueFromMemory(
            OrtMemoryInfo.DefaultInstance, data.AsMemory(0, rows * rowShape.Aggregate((a, b) => a * b)), [rows, .. rowShape]);

        void Take()
        {
            for (int i = 0; i < count; i++)
            {
                output.AsSpan(i * classes, classes).CopyTo(scores);
                if (first.Count < 100)
                    first.Add(scores[1]);
            }
            count = 0;
        }
    }

    private sealed class Row
    {
        [ColumnName("x")]
        public float[] X { get; set; } = [];
    }
}
