using System.CommandLine;
using System.Diagnostics;
using EnhanceLowLight;
using Microsoft.ML;
using Microsoft.ML.Attention.Onnx.Models;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;

var output = new Option<string>("--output")
{
    Description = "Where model and pictures go.",
    DefaultValueFactory = _ => Path.Combine("artifacts", "EnhanceLowLight"),
};
var folder = new Option<string?>("--pictures")
{
    Description = "A folder of your own pictures in normal light; every fifth is kept for the test. Else scenes are drawn.",
};
var published = new Option<bool>("--published") { Description = "Trains the published nets at 400 x 640 rather than small ones: for a GPU." };
var epochs = new Option<int>("--epochs") { Description = "How often the nets see each picture.", DefaultValueFactory = _ => 40 };
var command = new RootCommand("Learns to enhance pictures taken in low light, and compares with what needs no learning.")
{
    output, folder, published, epochs,
};
command.SetAction(arguments => Run(
    arguments.GetValue(output)!, arguments.GetValue(folder), arguments.GetValue(published), arguments.GetValue(epochs)));
return command.Parse(args).Invoke();

static int Run(string output, string? folder, bool published, int epochCount)
{
    var clock = Stopwatch.StartNew();
    var context = new MLContext(seed: 1);
    Directory.CreateDirectory(output);
    var (train, test) = folder is null ? Scenes.Draw(output, trainCount: 240, testCount: 40) : Split(folder);
    Say($"{train.Length} pictures to train on, {test.Length} to test on");

    var (predict, enhance) = published ? (Ugdc.Variants["ugdc"], Ugdc.Variants["ugdc_enhance"]) : (Small(8), Small(4));
    var trained = context.Transforms.EnhanceLowLight(new TroubleMakerTrainer.Options
    {
        Predict = predict,
        Enhance = enhance,
        EpochCount = epochCount,
        BatchSize = 8,
        LearningRate = published ? 2e-4f : 3e-3f,
        TileOverlap = 16,
        Progress = new EpochLines(Say, every: Math.Max(1, epochCount / 10)),
    }).Fit(Rows(train));
    var modelFile = Path.Combine(output, "enhancement.zip");
    context.Model.Save(trained, Rows(train).Schema, modelFile);
    Say($"saved to {modelFile}, {new FileInfo(modelFile).Length / 1e6:F1} MB");

    // Dark pictures as files, each dimmed in another way than the next.
    var normal = test.Select(MLImage.CreateFromFile).ToArray();
    var dark = normal.Select((image, i) => new Dimming().Apply(image, seed: i)).ToArray();
    var darkFolder = Directory.CreateDirectory(Path.Combine(output, "dark")).FullName;
    var darkFiles = test.Select(file => Path.Combine(darkFolder, Path.GetFileNameWithoutExtension(file) + ".png")).ToArray();
    for (var i = 0; i < dark.Length; i++)
        dark[i].Save(darkFiles[i]);
    var enhanced = context.Model.Load(modelFile, out _).Transform(Rows(darkFiles)).GetColumn<MLImage>("Enhanced").ToArray();
    Say($"{enhanced.Length} pictures enhanced");

    var mean = ClassicalEnhancement.MeanLevel(train.Take(100).Select(MLImage.CreateFromFile));
    var comparison = new Comparison();
    comparison.Add("dark", dark, normal);
    var gamma = comparison.Add("gamma correction", [.. dark.Select(image => ClassicalEnhancement.CorrectGamma(image, mean))], normal);
    var equalised = comparison.Add("histogram equalisation", [.. dark.Select(ClassicalEnhancement.EqualiseHistogram)], normal);
    var ours = comparison.Add("UGDC", enhanced, normal);
    comparison.Save(normal, Path.Combine(output, "comparison.png"));
    foreach (var line in comparison.Lines)
        Say(line);
    Say($"pictures side by side in {Path.Combine(output, "comparison.png")}");
    return ours > gamma + 3 && ours > equalised + 3 ? 0 : 1;

    IDataView Rows(string[] files) => context.Data.LoadFromEnumerable(files.Select(file => new PictureRow { Image = file }));

    void Say(string message) => Console.WriteLine($"{clock.Elapsed:mm\\:ss} {message}");
}

// Tiles of 96 x 128 pixels, for a few minutes on two cores.
static UgdcConfig Small(int width) => new() { StemWidth = width, Height = 96, Width = 128 };

static (string[] Train, string[] Test) Split(string folder)
{
    string[] suffixes = [".png", ".jpg", ".jpeg"];
    var files = Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories)
        .Where(file => suffixes.Contains(Path.GetExtension(file).ToLowerInvariant())).Order(StringComparer.Ordinal).ToArray();
    return ([.. files.Where((_, i) => i % 5 > 0)], [.. files.Where((_, i) => i % 5 == 0)]);
}
