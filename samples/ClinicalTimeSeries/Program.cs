using System.CommandLine;
using System.Diagnostics;
using ClinicalTimeSeries;
using Microsoft.ML;
using Microsoft.ML.Attention;

var records = new Option<string?>("--records")
{
    Description = "A zip file of records of the PhysioNet/CinC Challenge 2012 with Outcomes-a.txt. Else stays are drawn.",
};
var output = new Option<string>("--output")
{
    Description = "Where model, table and picture go.", DefaultValueFactory = _ => Path.Combine("artifacts", "ClinicalTimeSeries"),
};
var folds = new Option<int>("--folds") { Description = "Parts of the cross-validation.", DefaultValueFactory = _ => 5 };
var members = new Option<int>("--members") { Description = "Networks whose mean is taken.", DefaultValueFactory = _ => 10 };
var epochs = new Option<int?>("--epochs") { Description = "How often a network sees each stay; 8 of records, 20 of drawn stays." };
var stays = new Option<int>("--stays") { Description = "How many stays are drawn.", DefaultValueFactory = _ => 400 };
var seed = new Option<int>("--seed") { Description = "Tells folds and networks.", DefaultValueFactory = _ => 1 };
var cuda = new Option<bool>("--cuda") { Description = "Trains on the GPU." };
var command = new RootCommand("Predicts death in hospital from the first 48 hours in intensive care, and compares with boosted trees.")
{
    records, output, folds, members, epochs, stays, seed, cuda,
};
command.SetAction(arguments =>
{
    var clock = Stopwatch.StartNew();
    var context = new MLContext(arguments.GetValue(seed));
    var folder = Directory.CreateDirectory(arguments.GetValue(output)!).FullName;
    var set = arguments.GetValue(records) is { } zip
        ? PhysioNet2012.LoadSet(context, zip) : DrawnStays.Draw(arguments.GetValue(stays), arguments.GetValue(seed));
    Say($"{set.Name}: {set.Stays.Count} stays, {set.Stays.Count(stay => stay.Label)} deaths, {set.Variables.Count} variables");

    var contest = new Contest(context, set, arguments.GetValue(folds), arguments.GetValue(seed), Say);
    contest.AddSeries("TemporalAttention", fold => context.BinaryClassification.Trainers.TemporalAttention(Options(fold)));
    if (BoostedTrees.HasOpenMp)
    {
        contest.AddTable("LightGBM", BoostedTrees.LightGbm);
        contest.AddTable("LightGBM, regularised", BoostedTrees.RegularisedLightGbm);
    }
    contest.AddTable("FastTree", BoostedTrees.FastTree);
    contest.Report();

    var test = set.Stays.Where((_, i) => i % 5 == 0).ToArray();
    var train = context.Data.LoadFromEnumerable(set.Stays.Where((_, i) => i % 5 != 0));
    var model = context.BinaryClassification.Trainers.TemporalAttention(Options(fold: 0)).Fit(train);
    var file = Path.Combine(folder, "mortality.zip");
    context.Model.Save(model, train.Schema, file);
    Say($"trained on four fifths, saved to {file}");
    if (arguments.GetValue(records) is null)
        Say($"the deaths of drawn stays depend on {string.Join(" and ", DrawnStays.Deciding)} in the last twelve hours alone");
    var check = Explanations.Show(context, model, test, folder, Say);
    var accuracy = Pumps.Run(context, Options(fold: 0), Say);
    return check.FallWithoutTop > check.FallWithoutRandom && accuracy > 0.5 ? 0 : 1;

    TemporalAttentionTrainer.Options Options(int fold) => Recipe.Create(
        set.Variables, arguments.GetValue(members), arguments.GetValue(epochs) ?? (arguments.GetValue(records) is null ? 20 : 8),
        (100 * arguments.GetValue(seed)) + fold,
        arguments.GetValue(cuda) ? ExecutionProvider.Cuda : ExecutionProvider.Cpu);

    void Say(string message) => Console.WriteLine($"{clock.Elapsed:mm\\:ss} {message}");
});
return command.Parse(args).Invoke();
