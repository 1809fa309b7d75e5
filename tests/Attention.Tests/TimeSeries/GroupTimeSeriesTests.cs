using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Tests.TimeSeries;

public class GroupTimeSeriesTests
{
    private readonly MLContext _ml = new(seed: 1);

    [Fact]
    public void RowsOfAnIdBecomeOneSortedByTime()
    {
        var grouped = Grouping().Fit(Data()).Transform(Data());
        Assert.Equal(["b", "a"], grouped.GetColumn<string>("Id"));
        Assert.Equal([true, false], grouped.GetColumn<bool>("Label"));
        float[][] times = [.. grouped.GetColumn<float[]>("Times")], series = [.. grouped.GetColumn<float[]>("Series")];
        Assert.Equal([1, 2, 5], times[0]);
        Assert.Equal([10, 11, 12, 20, float.NaN, 22, 50, 51, 52], series[0]);
        Assert.Equal([3], times[1]);
        Assert.Equal([30, 31, 32], series[1]);
        var type = Assert.IsType<VectorDataViewType>(grouped.Schema["Series"].Type);
        Assert.Equal([0, 3], type.Dimensions);
        Assert.Equal(["Pulse", "Pair.0", "Pair.1"], SeriesAnnotations.Find(grouped.Schema["Series"])!);
    }

    [Fact]
    public void AConstantAloneIsReadWithoutTheSeries()
    {
        var source = new RecordingDataView(Data());
        Assert.Equal([true, false], Grouping().Fit(source).Transform(source).GetColumn<bool>("Label"));
        Assert.DoesNotContain("Pulse", source.LastActive);
    }

    [Fact]
    public void ALoadedTransformerGroupsAsTheSavedOne()
    {
        var model = SaveLoadTests.SaveAndLoad(_ml, Grouping().Fit(Data()), Data().Schema);
        Assert.Equal([9, 3], model.Transform(Data()).GetColumn<float[]>("Series").Select(series => series.Length));
    }

    [Fact]
    public void AnIdThatComesAgainIsAnError()
    {
        var data = _ml.Data.LoadFromEnumerable(new[] { Row("a", 0), Row("b", 0), Row("a", 1) });
        var error = Assert.Throws<InvalidDataException>(() => Grouping().Fit(data).Transform(data).GetColumn<string>("Id").ToArray());
        Assert.Contains("series 'a', which had ended before", error.Message);
    }

    [Fact]
    public void AColumnThatIsNotThereOrOfAnotherTypeIsNamed()
    {
        var options = new GroupTimeSeriesEstimator.Options { ValueColumnNames = ["Puls"] };
        var missing = Assert.Throws<InvalidOperationException>(() => _ml.Transforms.GroupTimeSeries(options).Fit(Data()));
        Assert.Contains("'Puls', which the data does not have", missing.Message);
        options.ValueColumnNames = ["Label"];
        var wrong = Assert.Throws<InvalidOperationException>(() => _ml.Transforms.GroupTimeSeries(options).Fit(Data()));
        Assert.Contains("ConvertType", wrong.Message);
    }

    private GroupTimeSeriesEstimator Grouping() => _ml.Transforms.GroupTimeSeries(new GroupTimeSeriesEstimator.Options
    {
        ValueColumnNames = ["Pulse", "Pair"], ConstantColumnNames = ["Label"],
    });

    private IDataView Data() => _ml.Data.LoadFromEnumerable(new[]
    {
        Row("b", 5, label: true), Row("b", 1), Row("b", 2, missing: true), Row("a", 3),
    });

    private static Measurement Row(string id, float time, bool label = false, bool missing = false) => new()
    {
        Id = id, Time = time, Label = label, Pulse = 10 * time, Pair = [missing ? float.NaN : (10 * time) + 1, (10 * time) + 2],
    };

    private sealed class Measurement
    {
        public string Id { get; init; } = "";

        public float Time { get; init; }

        public bool Label { get; init; }

        public float Pulse { get; init; }

        [VectorType(2)]
        public float[] Pair { get; init; } = [];
    }
}
