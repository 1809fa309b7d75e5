using global::SegmentFewShot;

namespace Samples.Tests.SegmentFewShot;

public sealed class SceneTests
{
    private const int Size = 64;

    private static readonly Garments Test = Garments.Read("nowhere", "test");

    [Fact]
    public void EachClassIsNewInOneFold()
    {
        var folds = Enumerable.Range(0, Fold.Count).Select(number => new Fold(number)).ToArray();

        Assert.Equal(Enumerable.Range(0, 10), folds.SelectMany(fold => fold.Test).Order());
        Assert.All(folds, fold => Assert.Equal(8, fold.Training.Except(fold.Test).Count()));
    }

    [Fact]
    public void WithoutTheDataSetTheSamplesPicturesAreTaken() => Assert.Equal(1000, Test.Count);

    [Fact]
    public void LabelsAreThoseOfTheGarmentsAndTellWhereTheyAre()
    {
        var random = new Random(1);
        for (var i = 0; i < 20; i++)
        {
            var scene = Scene.Compose([1, 8], Test, Size, random);
            var (trouser, bag) = (scene.Only(1), scene.Only(8));

            var labelled = Enumerable.Range(0, Size * Size).Count(pixel => scene.Mask.Pixels[4 * pixel] != 0);
            Assert.Equal(labelled, trouser.Sum(label => label) + bag.Sum(label => label));
            Assert.InRange(labelled, 20, Size * Size / 2);
        }
    }

    [Fact]
    public void ASceneShowsEnoughOfTheClassThatIsAskedFor()
    {
        var sets = EpisodeSet.Draw([5], [0, 5, 9], Test, Size, setCount: 2, shotCount: 2, queryCount: 3, seed: 1);

        Assert.Equal(2, sets.Count);
        Assert.All(sets.SelectMany(set => set.Supports.Concat(set.Queries)), scene =>
            Assert.True(scene.Only(5).Count(label => label == 1) >= Scene.LeastArea(Size)));
        Assert.Equal(255, sets[0].Supports[0].OnlyAsImage(5).Pixels[4 * Array.IndexOf(sets[0].Supports[0].Only(5), (byte)1)]);
    }

    [Fact]
    public void TheSameSeedDrawsTheSameEpisodes()
    {
        var (first, second) = (Draw(seed: 1), Draw(seed: 1));

        Assert.Equal(first.Pixels.ToArray(), second.Pixels.ToArray());
        Assert.NotEqual(first.Pixels.ToArray(), Draw(seed: 2).Pixels.ToArray());

        static Microsoft.ML.Data.MLImage Draw(int seed) =>
            EpisodeSet.Draw([3], [2], Test, Size, setCount: 1, shotCount: 1, queryCount: 1, seed)[0].Queries[0].Image;
    }
}
