using System.CommandLine;
using System.Diagnostics;
using DetectObjects;
using Microsoft.ML;
using Microsoft.ML.Attention;

// Trains a detector of blood cells from scratch, measures it on pictures it has not seen, saves it, and draws what it finds.
var data = new Option<string>("--data")
{
    Description = "The BCCD data set: a folder or a zip file.", DefaultValueFactory = _ => "../shared/data/bccd/bccd.zip",
};
var model = new Option<string?>("--model") { Description = "A detector that was saved before, to measure and draw instead of training." };
var output = new Option<string>("--output")
{
    Description = "The folder for the detector and the drawing.", DefaultValueFactory = _ => Path.Combine("artifacts", "DetectObjects"),
};
var epochs = new Option<int>("--epochs") { Description = "How often each picture is seen.", DefaultValueFactory = _ => 300 };
var batch = new Option<int>("--batch") { Description = "Pictures an optimiser step.", DefaultValueFactory = _ => 16 };
var rate = new Option<float>("--rate") { Description = "The highest learning rate.", DefaultValueFactory = _ => 4e-4f };
var limit = new Option<double?>("--minutes") { Description = "Ends the training in this time, with fewer epochs." };
var validate = new Option<bool>("--validate")
{
    Description = "Trains without the validation pictures and measures on them: to choose a recipe by, the test pictures staying unseen.",
};
var provider = new Option<ExecutionProvider>("--provider")
{
    Description = "cpu, cuda, or auto for CUDA where it works.", DefaultValueFactory = _ => ExecutionProvider.Auto,
};
var command = new RootCommand("Detects blood cells.") { data, model, output, epochs, batch, rate, limit, validate, provider };
command.SetAction(arguments =>
{
    var clock = Stopwatch.StartNew();
    var folder = Directory.CreateDirectory(arguments.GetValue(output)!).FullName;
    var cells = BloodCells.Open(arguments.GetValue(data)!, Path.Combine(folder, "bccd"));
    var context = new MLContext(seed: 1);
    var annotations = cells.Read(arguments.GetValue(validate) ? "val" : "test");
    var test = context.Data.LoadAnnotations(annotations);

    ITransformer detector;
    if (arguments.GetValue(model) is { } file)
    {
        detector = context.Model.Load(file, out _);
    }
    else
    {
        var training = cells.Read(arguments.GetValue(validate) ? ["train"] : ["train", "val"]);
        Say($"training on {training}");
        var time = arguments.GetValue(limit) is { } minutes ? TimeSpan.FromMinutes(minutes) : (TimeSpan?)null;
        var trained = CellDetector.Train(
            context, context.Data.LoadAnnotations(training), arguments.GetValue(epochs), time, arguments.GetValue(batch),
            arguments.GetValue(rate), arguments.GetValue(provider), new EpochLines(Say));
        var saved = Path.Combine(folder, "blood-cells.zip");
        context.Model.Save(trained, test.Schema, saved);
        Say($"saved to {saved}, {new FileInfo(saved).Length / 1e6:F1} MB");
        detector = trained;
    }

    var scored = detector.Transform(test);
    var metrics = context.MulticlassClassification.EvaluateDetections(scored);
    Say($"{annotations}: {metrics}");
    var drawing = Path.Combine(folder, "detections.png");
    Drawing.Save(context, scored, drawing);
    Say($"what it finds is in {drawing}");
    return 0;

    void Say(string message) => Console.WriteLine($"{clock.Elapsed:mm\\:ss} {message}");
});
return command.Parse(args).Invoke();
