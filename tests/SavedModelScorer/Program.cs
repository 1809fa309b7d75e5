// Loads the saved model that SaveLoadTests wrote, knowing nothing of it but its columns, and prints the score of one row.
using Microsoft.ML;
using Microsoft.ML.Data;

var ml = new MLContext();
var model = ml.Model.Load(args[0], out _);
using var engine = ml.Model.CreatePredictionEngine<Row, Sum>(model);
Console.WriteLine(engine.Predict(new Row { X = [1, 2, 3, 4] }).Value);

internal sealed class Row
{
    [VectorType(4)]
    [ColumnName("x")]
    public float[] X { get; set; } = [];
}

internal sealed class Sum
{
    [ColumnName("sum")]
    public float Value { get; set; }
}
