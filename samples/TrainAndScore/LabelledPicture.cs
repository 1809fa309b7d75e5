using Microsoft.ML;
using Samples.Data;

namespace TrainAndScore;

/// <summary>A row of the data set.</summary>
internal sealed class LabelledPicture
{
    public string ImagePath { get; set; } = "";

    public string Label { get; set; } = "";

    /// <summary>
    /// The subset of Fashion-MNIST beside this program, one file a picture under <c>folder/train</c> and <c>folder/test</c>.
    /// </summary>
    public static (IDataView Train, IDataView Test) Unpack(MLContext context, string folder)
    {
        ContactSheets.Unpack(Path.Combine(AppContext.BaseDirectory, "fashion-mnist"), folder);
        return (Load(context, Path.Combine(folder, "train")), Load(context, Path.Combine(folder, "test")));
    }

    /// <summary>The label of a picture is the name of its folder.</summary>
    public static string LabelOf(string path) => Path.GetFileName(Path.GetDirectoryName(path))!;

    private static IDataView Load(MLContext context, string folder)
    {
        var paths = Directory.GetFiles(folder, "*.png", SearchOption.AllDirectories).Order(StringComparer.Ordinal);
        var rows = paths.Select(path => new LabelledPicture { ImagePath = path, Label = LabelOf(path) });
        return context.Data.LoadFromEnumerable(rows.ToArray());
    }
}
