using System.Diagnostics;
using Microsoft.ML.Attention.Vision.Plots;
using ParquetSharp;

namespace TrainAndScore;

/// <summary>Scores a folder in a process of its own, as a batch job does, and reads the result.</summary>
internal static class ScoredFolder
{
    public static IReadOnlyList<ScoredExample> Score(string model, string pictures, string scores)
    {
        var program = Path.Combine(AppContext.BaseDirectory, "BatchScoring.dll");
        using var process = Process.Start("dotnet", [program, model, pictures, scores, "--overwrite"]);
        process.WaitForExit();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"BatchScoring ended with exit code {process.ExitCode}.");
        return [.. Directory.GetFiles(scores, "part-*.parquet").Order(StringComparer.Ordinal).SelectMany(Read)];
    }

    private static ScoredExample[] Read(string file)
    {
        using var reader = new ParquetFileReader(file);
        using var group = reader.RowGroup(0);
        var rows = (int)group.MetaData.NumRows;
        var names = Enumerable.Range(0, group.MetaData.NumColumns)
            .Select(index => reader.FileMetaData.Schema.Column(index).Path.ToDotVector()[0]).ToList();
        var paths = Column<string>("path");
        var labels = Column<string>("PredictedLabel");
        var scores = Column<float[]>("Score");
        return [.. Enumerable.Range(0, rows).Select(row =>
            new ScoredExample(paths[row], labels[row], scores[row].Max(), LabelledPicture.LabelOf(paths[row])))];

        T[] Column<T>(string name)
        {
            using var column = group.Column(names.IndexOf(name)).LogicalReader<T>();
            return column.ReadAll(rows);
        }
    }
}
