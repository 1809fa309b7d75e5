// Loads a saved model that a test wrote, knowing nothing of it but its columns, and prints the score of one row: of numbers, or of the times
// and values of a series that the test passes on.
using System.Globalization;
using Microsoft.ML;
using Microsoft.ML.Data;

var ml = new MLContext();
var model = ml.Model.Load(args[0], out _);
if (args is [_, var times, var values])
{
    using var ofSeries = ml.Model.CreatePredictionEngine<Series, Prediction>(model);
    Console.WriteLine(ofSeries.Predict(new Series { Times = Numbers(times), Values = Numbers(values) }).Probability.ToString(CultureInfo.InvariantCulture));
    return;

    static float[] Numbers(string text) => [.. text.Split(' ').Select(number => float.Parse(number, CultureInfo.InvariantCulture))];
}
using var engine = ml.Model.CreatePredictionEngine<Row, Sum>(model);
Console.WriteLine(engine.Predict(new Row { X = [1, 2, 3, 4] }).Value);

internal sealed class Row
{
    [VectorType(4)]
    [ColumnName("x")]
    public float[] X { get; set; } = [];
}

internal sealed class Series
{
    public float[] Times { get; set; } = [];

    [ColumnName("Series")]
    public float[] Values { get; set; } = [];
}

internal sealed class Prediction
{
    public float Probability { get; set; }
}

internal sealed class Sum
{
    [ColumnName("sum")]
    public float Value { get; set; }
}
