using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Tests;

public class BatchingTests
{
    private readonly MLContext _ml = new(seed: 1);

    [Theory]
    [InlineData(100, 7)]
    [InlineData(64, 64)]
    [InlineData(65, 64)]
    [InlineData(3, 64)]
    [InlineData(0, 8)]
    [InlineData(5, 1)]
    public void RowsKeepTheirOrderAndValues(int count, int batchSize)
    {
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(count));
        using var transformer = Fit(data, batchSize);
        var scored = Read<Scored>(transformer.Transform(data));
        Assert.Equal(count, scored.Count);
        for (int i = 0; i < count; i++)
            AssertScored(i, scored[i]);
        Assert.Equal((count + batchSize - 1) / batchSize, transformer.RunCount);
    }

    [Theory]
    [InlineData(20)]
    [InlineData(16)]
    [InlineData(1)]
    public void AModelWithAFixedBatchIsPadded(int count)
    {
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(count));
        using var transformer = Fit(data, batchSize: 64, TestModels.DoubleAndSum(8, 4));
        var scored = Read<Scored>(transformer.Transform(data));
        Assert.Equal(count, scored.Count);
        for (int i = 0; i < count; i++)
            AssertScored(i, scored[i]);
        Assert.Equal((count + 7) / 8, transformer.RunCount);
    }

    [Fact]
    public void OpenInnerDimensionsAreTakenFromTheColumn()
    {
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(10));
        using var transformer = Fit(data, batchSize: 4, TestModels.DoubleAndSum("N", "D"));
        var scored = Read<Scored>(transformer.Transform(data));
        for (int i = 0; i < 10; i++)
            AssertScored(i, scored[i]);
        Assert.False(((VectorDataViewType)transformer.GetOutputSchema(data.Schema)["double"].Type).IsKnownSize);
    }

    [Fact]
    public void HalfPrecisionModelsReadAndGiveSingles()
    {
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(10));
        using var transformer = Fit(data, batchSize: 4, TestModels.HalfDouble());
        var column = transformer.Transform(data).GetColumn<float[]>("double").ToArray();
        Assert.Equal([18f, 20, 22, 24], column[9]);
    }

    [Fact]
    public void SeveralInputsAreFedByTheColumnsGiven()
    {
        var data = _ml.Data.LoadFromEnumerable([new Pair { Left = [1, 2], Right = 3 }, new Pair { Left = [4, 5], Right = -1 }]);
        var options = new OnnxBatchScoringEstimator.Options
        {
            Model = TestModels.Product(),
            InputColumns = new() { ["a"] = "Left", ["b"] = "Right" },
            OutputColumns = new() { ["product"] = "Result" },
        };
        using var transformer = _ml.Transforms.ScoreOnnx(options).Fit(data);
        var column = transformer.Transform(data).GetColumn<float[]>("Result").ToArray();
        Assert.Equal([3f, 6], column[0]);
        Assert.Equal([-4f, -5], column[1]);
    }

    [Fact]
    public void TheModelDoesNotRunForColumnsThatAreNotItsOwn()
    {
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(50));
        using var transformer = Fit(data, 8);
        var scored = transformer.Transform(data);
        Assert.Equal(Enumerable.Range(0, 50), scored.GetColumn<int>("Index"));
        Assert.Equal(50, scored.GetRowCount());
        Assert.Equal(0, transformer.RunCount);
        var cursors = scored.GetRowCursorSet([scored.Schema["Index"]], 2);
        foreach (var cursor in cursors)
            cursor.Dispose();
        Assert.Equal(0, transformer.RunCount);
    }

    [Fact]
    public void OnlyTheSourceColumnsThatAreNeededAreActive()
    {
        var data = new RecordingDataView(_ml.Data.LoadFromEnumerable(Row.Numbers(5)));
        using var transformer = Fit(data, 8);
        var scored = transformer.Transform(data);
        scored.GetColumn<float>("sum").Count();
        Assert.Equal(["x"], data.LastActive);
        scored.GetColumn<int>("Index").Count();
        Assert.Equal(["Index"], data.LastActive);
    }

    [Fact]
    public void IdsAndPositionsAreThoseOfTheSource()
    {
        var data = _ml.Data.ShuffleRows(_ml.Data.LoadFromEnumerable(Row.Numbers(30)), seed: 3);
        using var transformer = Fit(data, 8);
        var expected = Ids(data, data.Schema["Index"]);
        var actual = Ids(transformer.Transform(data), transformer.GetOutputSchema(data.Schema)["sum"]);
        Assert.Equal(expected, actual);

        static List<(long, DataViewRowId)> Ids(IDataView view, DataViewSchema.Column column)
        {
            var ids = new List<(long, DataViewRowId)>();
            using var cursor = view.GetRowCursor([view.Schema[column.Name]]);
            var getter = cursor.GetIdGetter();
            while (cursor.MoveNext())
            {
                DataViewRowId id = default;
                getter(ref id);
                ids.Add((cursor.Position, id));
            }
            return ids;
        }
    }

    [Fact]
    public void ShuffleSkipAndTakeWorkOnTop()
    {
        var data = _ml.Data.Cache(_ml.Data.LoadFromEnumerable(Row.Numbers(100)));
        using var transformer = Fit(data, 8);
        var scored = transformer.Transform(data);
        Assert.True(scored.CanShuffle);
        foreach (var view in new[] { _ml.Data.ShuffleRows(scored, seed: 5), _ml.Data.SkipRows(scored, 13), _ml.Data.TakeRows(scored, 11) })
        {
            foreach (var row in Read<Scored>(view))
                AssertScored(row.Index, row);
        }
        Assert.Equal(Enumerable.Range(0, 100), Read<Scored>(_ml.Data.ShuffleRows(scored, seed: 5)).Select(r => r.Index).Order());
        Assert.Equal(Enumerable.Range(13, 87), Read<Scored>(_ml.Data.SkipRows(scored, 13)).Select(r => r.Index));
        Assert.Equal(Enumerable.Range(0, 11), Read<Scored>(_ml.Data.TakeRows(scored, 11)).Select(r => r.Index));
    }

    [Fact]
    public void ACursorMayBeDisposedOfInTheMiddle()
    {
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(1000));
        using var transformer = Fit(data, 4);
        var scored = transformer.Transform(data);
        for (int rows = 0; rows < 40; rows++)
        {
            using var cursor = scored.GetRowCursor(scored.Schema);
            for (int i = 0; i < rows; i++)
                Assert.True(cursor.MoveNext());
        }
        Assert.Equal(1000, Read<Scored>(scored).Count);
    }

    [Fact]
    public void ADisposedTransformerEndsItsCursorsAndOpensAgain()
    {
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(100));
        var transformer = Fit(data, 4);
        var scored = transformer.Transform(data);
        using (var cursor = scored.GetRowCursor([scored.Schema["sum"]]))
        {
            Assert.True(cursor.MoveNext());
            transformer.Dispose();
            Assert.Throws<ObjectDisposedException>(() =>
            {
                while (cursor.MoveNext())
                    continue;
            });
        }
        Assert.Equal(100, scored.GetColumn<float>("sum").Count());
        transformer.Dispose();
        transformer.Dispose();
    }

    [Fact]
    public async Task CursorsOnManyThreadsShareOneTransformer()
    {
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(500));
        using var transformer = Fit(data, 16);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() =>
        {
            var scored = Read<Scored>(transformer.Transform(data));
            Assert.Equal(500, scored.Count);
            for (int i = 0; i < scored.Count; i++)
                AssertScored(i, scored[i]);
        })));
    }

    [Fact]
    public void CursorsInterleaveOnOneThread()
    {
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(40));
        using var transformer = Fit(data, 8);
        var scored = transformer.Transform(data);
        var column = scored.Schema["sum"];
        using var first = scored.GetRowCursor([column]);
        using var second = scored.GetRowCursor([column]);
        var (firstSum, secondSum) = (first.GetGetter<float>(column), second.GetGetter<float>(column));
        while (first.MoveNext())
        {
            Assert.True(second.MoveNext());
            float a = 0, b = 0;
            firstSum(ref a);
            secondSum(ref b);
            Assert.Equal(4 * first.Position + 6, a);
            Assert.Equal(a, b);
        }
        Assert.False(second.MoveNext());
    }

    [Fact]
    public void PassingColumnsOfEveryKindKeepTheRightRow()
    {
        var rows = Enumerable.Range(0, 50).Select(i => new ManyKinds
        {
            X = [i, i, i, i],
            Text = $"row {i}",
            Flag = i % 3 == 0,
            Number = i * 1e10,
            Words = [$"a{i}", $"b{i}"],
            Variable = Enumerable.Range(0, i % 5).Select(j => (float)(i + j)).ToArray(),
            Time = new DateTime(2024, 1, 1).AddDays(i),
            Category = $"c{i % 4}",
        }).ToList();
        var source = _ml.Data.LoadFromEnumerable(rows);
        var data = _ml.Transforms.Conversion.MapValueToKey("Category").Fit(source).Transform(source);
        using var transformer = Fit(data, 8);
        var withKeys = transformer.Transform(data);
        var scored = _ml.Transforms.Conversion.MapKeyToValue("Category").Fit(withKeys).Transform(withKeys);
        var read = Read<ManyKinds>(scored);
        Assert.Equal(rows.Count, read.Count);
        for (int i = 0; i < rows.Count; i++)
        {
            Assert.Equal(rows[i].Text, read[i].Text);
            Assert.Equal(rows[i].Flag, read[i].Flag);
            Assert.Equal(rows[i].Number, read[i].Number);
            Assert.Equal(rows[i].Words, read[i].Words);
            Assert.Equal(rows[i].Variable, read[i].Variable);
            Assert.Equal(rows[i].Time, read[i].Time);
            Assert.Equal(rows[i].Category, read[i].Category);
            Assert.Equal(rows[i].X, read[i].X);
        }
        Assert.Equal(rows.Select(r => 4 * r.X[0]), scored.GetColumn<float>("sum"));
    }

    [Fact]
    public void AnErrorInAPassingColumnMeetsOnlyThoseWhoReadIt()
    {
        var data = _ml.Data.LoadFromEnumerable(Enumerable.Range(0, 10).Select(i => new Touchy { Index = i, X = Row.Number(i).X }));
        using var transformer = Fit(data, 4);
        var scored = transformer.Transform(data);
        using var cursor = scored.GetRowCursor([scored.Schema["sum"], scored.Schema["Value"]]);
        var sum = cursor.GetGetter<float>(scored.Schema["sum"]);
        var value = cursor.GetGetter<float>(scored.Schema["Value"]);
        int rows = 0;
        for (; cursor.MoveNext(); rows++)
        {
            float s = 0, v = 0;
            sum(ref s);
            Assert.Equal(4 * cursor.Position + 6, s);
            if (cursor.Position == 5)
                Assert.Contains("row five", Assert.ThrowsAny<Exception>(() => value(ref v)).ToString());
            else
                value(ref v);
        }
        Assert.Equal(10, rows);
    }

    [Fact]
    public void SourceRowsAreReadAtMostTwoBatchesAhead()
    {
        int read = 0;
        var data = _ml.Data.LoadFromEnumerable(Endless());
        using var transformer = Fit(_ml.Data.LoadFromEnumerable(Row.Numbers(1)), 16);
        var scored = transformer.Transform(data);
        using var cursor = scored.GetRowCursor([scored.Schema["sum"]]);
        for (int i = 1; i <= 200; i++)
        {
            Assert.True(cursor.MoveNext());
            Assert.InRange(Volatile.Read(ref read), i, i + 32);
        }

        IEnumerable<Row> Endless()
        {
            while (true)
                yield return Row.Number(Interlocked.Increment(ref read));
        }
    }

    [Fact]
    public void ErrorsNameColumnTypeAndMend()
    {
        var wrongSize = _ml.Data.LoadFromEnumerable([new Narrow { X = [1, 2] }]);
        string message = Assert.ThrowsAny<Exception>(() => Fit(wrongSize, 4)).Message;
        Assert.Contains("'x' has 2 values a row", message);

        var wrongType = _ml.Data.LoadFromEnumerable([new { x = "text" }]);
        Assert.Contains("ConvertType", Assert.ThrowsAny<Exception>(() => Fit(wrongType, 4)).Message);

        var missing = _ml.Data.LoadFromEnumerable([new { y = 1f }]);
        Assert.Contains("column 'x'", Assert.ThrowsAny<Exception>(() => Fit(missing, 4)).Message);

        var options = new OnnxBatchScoringEstimator.Options { Model = [1, 2, 3] };
        Assert.Contains("cannot load", Assert.ThrowsAny<Exception>(() => _ml.Transforms.ScoreOnnx(options).Fit(missing)).Message);
        Assert.Contains("nowhere.onnx", Assert.ThrowsAny<Exception>(() => _ml.Transforms.ScoreOnnx("nowhere.onnx")).Message);

        options = new() { Model = TestModels.DoubleAndSum("N", 4), OutputColumns = new() { ["z"] = "Z" } };
        var data = _ml.Data.LoadFromEnumerable(Row.Numbers(1));
        message = Assert.ThrowsAny<Exception>(() => _ml.Transforms.ScoreOnnx(options).Fit(data)).Message;
        Assert.Contains("no tensor output 'z'; it has 'double', 'sum'", message);
    }

    internal static void AssertScored(int i, Scored scored)
    {
        Assert.Equal(i, scored.Index);
        Assert.Equal([2f * i, 2 * i + 2, 2 * i + 4, 2 * i + 6], scored.Double);
        Assert.Equal(4 * i + 6, scored.Sum);
    }

    private OnnxBatchScoringTransformer Fit(IDataView data, int batchSize, byte[]? model = null) =>
        _ml.Transforms.ScoreOnnx(new OnnxBatchScoringEstimator.Options
        {
            Model = model ?? TestModels.DoubleAndSum("N", 4),
            Scoring = new() { BatchSize = batchSize, Session = new() { ExecutionProvider = ExecutionProvider.Cpu } },
        }).Fit(data);

    private List<T> Read<T>(IDataView data)
        where T : class, new() => [.. _ml.Data.CreateEnumerable<T>(data, reuseRowObject: false)];

    private sealed class Pair
    {
        [VectorType(2)]
        public float[] Left { get; set; } = [];

        public float Right { get; set; }
    }

    private sealed class Narrow
    {
        [VectorType(2)]
        [ColumnName("x")]
        public float[] X { get; set; } = [];
    }

    private sealed class Touchy
    {
        public int Index { get; set; }

        [VectorType(4)]
        [ColumnName("x")]
        public float[] X { get; set; } = [];

        public float Value
        {
            get => Index == 5 ? throw new FormatException("row five") : Index;
            set => throw new NotSupportedException();
        }
    }

    private sealed class ManyKinds
    {
        [VectorType(4)]
        [ColumnName("x")]
        public float[] X { get; set; } = [];

        public string Text { get; set; } = "";

        public bool Flag { get; set; }

        public double Number { get; set; }

        public string[] Words { get; set; } = [];

        public float[] Variable { get; set; } = [];

        public DateTime Time { get; set; }

        public string Category { get; set; } = "";
    }
}
